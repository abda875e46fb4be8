"""The conformance suite: every block of `tests/registry.py` goes through every check here.

`mathematics` comes first; `shapes`, `hosts`, `saving` and `errors` are engineering. A check is a public function whose
name starts with `check_`; it takes one `Subject` and asserts.
"""
