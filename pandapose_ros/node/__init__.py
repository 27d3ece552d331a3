import os

# Threads that spin while they wait starve camera, node and listener of each other's cores: with
# two cores busy a frame takes twenty times as long. Read when PyTorch is loaded, so set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
