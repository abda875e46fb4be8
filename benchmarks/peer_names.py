"""Names of what other libraries export as bijectors, flows and transforms: `docs/coming_from/equivalents.md` lists them all.

`python benchmarks/peer_names.py --out tests/data/peer_names.json` brings up to date what it finds installed and keeps the
others; `--source distrax=FOLDER` reads a package that is unpacked there, without importing it.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import re
from importlib import metadata
from pathlib import Path

MODULES = {
    "tensorflow-probability": ["tensorflow_probability.python.bijectors"],
    "FrEIA": ["FrEIA.modules"],
    "nflows": ["nflows.transforms", "nflows.flows", "nflows.distributions"],
    "normflows": ["normflows", "normflows.flows", "normflows.distributions"],
    "zuko": ["zuko.transforms", "zuko.flows"],
}


def exported(module):
    """Public classes and functions of a package, those of its `__all__` where it has one."""
    package = importlib.import_module(module)
    own = module.split(".")[0]
    names = getattr(package, "__all__", None) or [
        name
        for name, value in vars(package).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and str(value.__module__).split(".")[0] == own
    ]
    return sorted({name for name in names if not name.startswith("_")})


def distrax(folder):
    """What `distrax/__init__.py` takes from its bijectors, conversions and transformed distributions."""
    source = (folder / "distrax" / "__init__.py").read_text()
    wanted = ("_src.bijectors", "utils.conversion", "utils.transformations", "distributions.transformed")
    found = [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and any(part in (node.module or "") for part in wanted)
        for alias in node.names
    ]
    return re.search(r'__version__ = "(.*?)"', source).group(1), sorted(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", action="append", default=[], help="distrax=FOLDER")
    args = parser.parse_args()
    found = json.loads(args.out.read_text()) if args.out.exists() else {}
    for library, modules in MODULES.items():
        try:
            version = metadata.version(library)
            names = {module: exported(module) for module in modules}
        except ImportError as error:
            print(f"{library}: kept as it was ({error})")
            continue
        found[library] = {"version": version, "names": names}
    for source in args.source:
        library, _, folder = source.partition("=")
        version, names = distrax(Path(folder))
        found[library] = {"version": version, "names": {library: names}}
    args.out.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
