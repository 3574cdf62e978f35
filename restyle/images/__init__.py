"""Pictures: prepares what is sent, verifies what comes back, and makes thumbnails for reports.

The pipeline calls `prepare` before the call and `received` after it. Every function takes bytes, keeps no state and
may run in many threads. Messages are sentences without their subject, since only the caller knows the name of the
picture: "is a truncated JPEG file: ...".
"""

from restyle.images.answers import Picture, received, size_of, thumbnail, transcode, verify
from restyle.images.bounds import MAX_PIXELS
from restyle.images.formats.kinds import may_be_picture
from restyle.images.glance import Glance, glance
from restyle.images.inputs import Prepared, check, prepare

__all__ = [
    "MAX_INPUT_BYTES",
    "MAX_PIXELS",
    "Glance",
    "Picture",
    "Prepared",
    "check",
    "glance",
    "may_be_picture",
    "prepare",
    "received",
    "size_of",
    "thumbnail",
    "transcode",
    "verify",
]

#: The largest file that is fetched.
MAX_INPUT_BYTES = 100_000_000
