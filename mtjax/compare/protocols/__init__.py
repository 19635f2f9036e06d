"""Published protocols, exactly: `mtjax protocol NAME` prints our rows beside the published ones.

`PROTOCOLS` restore pictures, by solvers and by a trained head; `TABLES` are those of multi-task learning, in which a
workdir has a row.
"""

from mtjax.compare.protocols import (
    compressed_sensing,
    deblurring,
    denoising,
    inpainting,
    kspace,
    motion_blur,
    multitask,
    super_resolution,
)
from mtjax.compare.protocols.multitask import TaskTable
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Published, Setting

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        denoising.GRAY,
        denoising.COLOR,
        super_resolution.SUPER_RESOLUTION,
        deblurring.DEBLURRING,
        motion_blur.COLOR,
        motion_blur.GRAY,
        inpainting.INPAINTING,
        compressed_sensing.COMPRESSED_SENSING,
        kspace.KSPACE,
    )
}
TABLES: dict[str, TaskTable] = {
    table.name: table for table in (multitask.NYUV2, multitask.CAMVID, multitask.MULTI_MNIST)
}

__all__ = ["PROTOCOLS", "TABLES", "Case", "Method", "Protocol", "Published", "Setting", "TaskTable"]
