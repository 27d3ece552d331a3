#!/usr/bin/env bash
# Runs a command of the container with ROS 2, the workspace and the Python packages at hand.
set -e
source /venv/bin/activate
source /workspace/install/setup.bash
exec "$@"
