"""`python -m tests.malformed [part of a name]`: every malformed call, and those that are neither refused nor right."""

import collections
import itertools
import sys

from tests.malformed.constructors import constructor_calls
from tests.malformed.outcome import outcome
from tests.malformed.values import value_calls

if __name__ == "__main__":
    counts = collections.Counter()
    for call in itertools.chain(constructor_calls(), value_calls()):
        if sys.argv[1:] and not any(part in call.name for part in sys.argv[1:]):
            continue
        counts["calls"] += 1
        if found := outcome(call):
            counts["faults"] += 1
            print(f"{call.name}: {found}", flush=True)
    print(dict(counts))
