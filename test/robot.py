"""A robot that tells by tf where its camera is."""

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage


class Robot:
    """Publishes where the camera is."""

    def __init__(self, camera):
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.still = camera.node.create_publisher(TFMessage, "/tf_static", latched)
        self.moving = camera.node.create_publisher(TFMessage, "/tf", 100)

    @staticmethod
    def message(child, parent, translation=(0.0, 0.0, 0.0), rotation=None, stamp=None):
        stamped = TransformStamped(child_frame_id=child)
        stamped.header.frame_id = parent
        stamped.header.stamp = stamp or Time()
        x, y, z = translation
        stamped.transform.translation = Vector3(x=float(x), y=float(y), z=float(z))
        turned = Rotation.identity() if rotation is None else rotation
        x, y, z, w = turned.as_quat().tolist()
        stamped.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
        return TFMessage(transforms=[stamped])


def shifted(stamp, nanoseconds):
    total = stamp.sec * 10**9 + stamp.nanosec + nanoseconds
    return Time(sec=total // 10**9, nanosec=total % 10**9)
