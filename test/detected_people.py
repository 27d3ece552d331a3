"""Messages of another detector (vision_msgs)."""


def detection(box, class_id="person", score=0.8, turn=0.0):
    from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

    left, top, right, bottom = (float(value) for value in box)
    result = Detection2D()
    result.bbox.center.position.x, result.bbox.center.position.y = (
        (left + right) / 2,
        (top + bottom) / 2,
    )
    result.bbox.size_x, result.bbox.size_y = right - left, bottom - top
    result.bbox.center.theta = turn
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = class_id, score
    result.results.append(hypothesis)
    return result


def array_of(*detections, stamp_ns=0):
    from vision_msgs.msg import Detection2DArray

    message = Detection2DArray(detections=list(detections))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message
