"""The paper's ablations on Human3.6M, to stand beside ours; another data set, another training.

Source: PandaPose (arXiv 2602.01095), Tables 4 to 7 and 9; section 1 for the offsets.
"""

# By field of `ModelConfig` and its value: MPJPE in mm on the full and the challenging set.
PAPER_ARMS: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "anchors": {
        "none": (42.1, 81.9),
        "global": (40.8, 76.2),
        "local": (40.1, 74.0),
        "both": (39.8, 73.1),
    },
    "lifting": {"none": (40.9, 80.8), "shared": (40.3, 75.9), "joint": (39.8, 73.1)},
    "depth_head": {
        "regression": (41.6, 77.2),
        "16": (40.7, 74.8),
        "64": (39.8, 73.1),
        "128": (40.2, 74.7),
    },
    "sampling": {"all": (40.0, None), "random": (45.6, None), "prior": (39.8, None)},
    "layers": {"3": (39.8, 73.1), "2": (40.3, 75.6)},
}
# Mean offset of the 50 weightest anchors: fixed ones alone, and adaptive ones.
PAPER_OFFSETS_MM = {"global": 154.6, "both": 69.7}
