# Builds this project against ROS 2 from PyPI wheels. pip's build has CMake include this file right
# after project(); a build by colcon on a ROS 2 machine does not.

# The wheels share one prefix, that of the Python environment they are in. It is not sys.prefix
# where pip builds in isolation.
if(NOT DEFINED ENV{AMENT_PREFIX_PATH})
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import ament_package, pathlib; print(pathlib.Path(ament_package.__file__).parents[4])"
    OUTPUT_VARIABLE wheels_prefix
    OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
  set(ENV{AMENT_PREFIX_PATH} "${wheels_prefix}")
  list(PREPEND CMAKE_PREFIX_PATH "${wheels_prefix}")
endif()

# Their message packages export the Python include directories of the machine that built them, and
# CMake refuses paths that do not exist.
function(forget_python_include_directories)
  get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  list(FILTER imported INCLUDE REGEX "__rosidl_generator_py$")
  set_property(TARGET ${imported} PROPERTY INTERFACE_INCLUDE_DIRECTORIES "")
endfunction()

# numpy's headers lie in the source tree where the environment does (.venv), and CMake refuses to
# export such paths: nobody who uses our messages needs these.
function(keep_environment_out_of_exports)
  set(target ${PROJECT_NAME}__rosidl_generator_py)
  if(NOT TARGET ${target})
    return()
  endif()
  get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
  list(TRANSFORM directories REPLACE "^(${CMAKE_SOURCE_DIR}/.+)$" "$<BUILD_INTERFACE:\\1>")
  set_property(TARGET ${target} PROPERTY INTERFACE_INCLUDE_DIRECTORIES ${directories})
endfunction()

cmake_language(DEFER CALL forget_python_include_directories)
cmake_language(DEFER CALL keep_environment_out_of_exports)
