"""Classes of the user's own, named on the command line by the place they are imported from."""

from __future__ import annotations

import importlib
from typing import Any

from recipes.common.errors import UserError
from recipes.common.ranges import shown


def class_at(place: str, base: type, flag: str) -> Any:
    """The class that `module:Class` names, a subclass of `base`.

    >>> class_at("collections:OrderedDict", dict, "--kind").__name__
    'OrderedDict'

    Raises:
        UserError: if it cannot be imported, or is something else.
    """
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(
            f"{flag}: received {shown(place)}, which cannot be imported ({error})",
            remedy="Name it as module:Class, the module being on Python's path.",
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(
            f"{flag}: received {shown(place)}, expected a subclass of {base.__module__}.{base.__name__}",
        )
    return found
