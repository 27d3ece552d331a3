# ROS 2 Jazzy with the package built, the model files fetched, and the browser view; without RViz.
#   docker build -t pandapose_ros .
# For a GPU, another index of PyTorch, and --gpus all when it runs:
#   docker build -t pandapose_ros --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .
FROM ros:jazzy-ros-base
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /workspace

# What changes seldom comes first, so that a change of the code builds the last layer only.
COPY package.xml src/pandapose_ros/
# hadolint ignore=DL3008
RUN apt-get update \
  && rosdep update --rosdistro "$ROS_DISTRO" \
  && rosdep install --from-paths src --ignore-src -y --skip-keys rviz2 \
  && apt-get install -y --no-install-recommends python3-venv \
  && rm -rf /var/lib/apt/lists/*

# OpenCV from Ubuntu needs the NumPy that it was built for.
COPY requirements-python.txt requirements-view.txt src/pandapose_ros/
RUN python3 -m venv --system-site-packages /venv \
  && /venv/bin/pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" 'numpy<2' \
    -r src/pandapose_ros/requirements-python.txt -r src/pandapose_ros/requirements-view.txt

# In reach of every user that the container may run as.
ENV PANDAPOSE_MODEL_DIR=/opt/pandapose
COPY . src/pandapose_ros
RUN . "/opt/ros/$ROS_DISTRO/setup.bash" \
  && . /venv/bin/activate \
  && colcon build --packages-select pandapose_ros \
  && . install/setup.bash \
  && ros2 run pandapose_ros pandapose fetch-models

ENTRYPOINT ["/workspace/src/pandapose_ros/scripts/docker_entrypoint.sh"]
CMD ["ros2", "launch", "pandapose_ros", "pandapose.launch.py"]
