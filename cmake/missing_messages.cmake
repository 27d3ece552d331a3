# Builds what no registry has: the message of /tf. A ROS 2 installation has it and keeps its own;
# what an earlier build of this project put there is built anew, as pip deletes it when it updates.
string(REPLACE ":" ";" prefixes "$ENV{AMENT_PREFIX_PATH}")
find_file(tf2_msgs_manifest share/tf2_msgs/package.xml PATHS ${prefixes} NO_DEFAULT_PATH NO_CACHE)
set(tf2_msgs_origin "pandapose_ros")
if(tf2_msgs_manifest)
  file(READ ${tf2_msgs_manifest} tf2_msgs_origin)
endif()
if(tf2_msgs_origin MATCHES "pandapose_ros")
  add_subdirectory(cmake/tf2_msgs)
endif()
