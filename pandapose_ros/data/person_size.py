"""Whether true joints are in the unit that their data set is said to have."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

_LOOKED_AT = 1000  # poses, spread over all
_REACH = (0.1, 10.0)  # of a pose from its pelvis, metres: far from people, and from other units


def check_person_size(joints: Array, field: str, unit: str) -> None:
    """Refuse joints of people who are as small or large as in another unit only.

    The mean error of millimetres taken for metres would be absurd; that of metres taken for
    millimetres would be half a millimetre, and all joints correct.

    Args:
        joints: [N, J, 3], finite, the pelvis first; metres, if the unit is that which was meant.
        field: For messages, the file, where in it, and the field.
        unit: What the field should be in.

    Raises:
        ValueError: If half of the poses or more reach less than 0.1 m or more than 10 m from the
            pelvis.
    """
    if not len(joints):
        return
    some = joints[:: max(1, len(joints) // _LOOKED_AT)]
    reach = float(np.median(np.linalg.norm(some - some[:, :1], axis=-1).max(axis=1)))
    if not _REACH[0] <= reach <= _REACH[1]:
        raise ValueError(
            f"{field}: expected joints in {unit}, got people who reach {reach:g} m from their "
            "pelvis; convert the joints"
        )
