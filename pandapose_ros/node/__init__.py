import os

# Threads that spin while they wait starve camera, node and listener of each other's cores: with
# two cores busy a frame takes twenty times as long. Read when PyTorch is loaded, so set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A compressed image of a few bytes may say that it has a billion pixels; twice 8K will do.
# Read when OpenCV is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))
