"""Detection heads: what a model's raw output means, and the graph nodes that cut it down to the best candidates.

A head is recognised from what the export says of itself: the shapes of its outputs, its metadata, its operators. What
fits two families is refused, for boxes that are read wrongly look like boxes. To teach the worker another family, write
one class with the parts of `Head` and add it to `FAMILIES`.
"""

from fbtasks.errors import ModelUnsupported
from fbtasks.gpu.heads.detr import Detr
from fbtasks.gpu.heads.export import Export, Shape, class_names, described
from fbtasks.gpu.heads.graph import CLASS_ID, CONFIDENCE, PREFIX, SOURCE, XYXY, Reduction
from fbtasks.gpu.heads.head import Head, Pixels
from fbtasks.gpu.heads.yolo import AnchorFreeYolo, EndToEnd
from fbtasks.gpu.heads.yolox import Yolox

__all__ = [
    "CLASS_ID",
    "CONFIDENCE",
    "PREFIX",
    "SOURCE",
    "XYXY",
    "AnchorFreeYolo",
    "Detr",
    "EndToEnd",
    "Export",
    "Head",
    "Pixels",
    "Reduction",
    "Shape",
    "Yolox",
    "class_names",
    "described",
    "recognise",
]

FAMILIES: tuple[type[Head], ...] = (AnchorFreeYolo, EndToEnd, Yolox, Detr)


def recognise(export: Export) -> tuple[Head, dict[int, str]]:
    """The head of an export and its class names.

    The metadata 'head' decides between families whose shapes both fit.

    Raises:
        ModelUnsupported: no known family fits or more than one does, or the class names are missing or malformed.
    """
    names = class_names(export.metadata)
    told = export.metadata.get("head")
    families = [family for family in FAMILIES if told in family.HEADS] or FAMILIES
    heads = [head for family in families if (head := family.recognise(export, names)) is not None]
    if len(heads) == 1 and export.is_detector:
        return heads[0], names
    found = f"the model's output is {export.described()} with {len(names)} class names"
    if len(heads) > 1 and export.is_detector:
        fitting = "; or ".join(head.UNDERSTOOD for head in heads)
        raise ModelUnsupported(
            f"{found}, which may be {fitting}. Say which in the metadata: 'end2end' is True or False, "
            f"'head' is one of {', '.join(sorted(set().union(*(head.HEADS for head in heads))))}"
        )
    understood = "; ".join(family.UNDERSTOOD for family in FAMILIES)
    raise ModelUnsupported(
        f"{found}, which is no known detection head; understood: {understood}. Export a detection model in one of "
        "these forms"
    )
