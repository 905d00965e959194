"""EZKL, Groth16 and this project on one statement; run as `python -m benchmarks.head_to_head`.

`statement` is what is computed, `stages` runs and measures one stage in a process of its own, and the
`*_tool` modules are those processes: `ezkl_tool` and `groth16_tool` under the interpreter that has those
packages, `huref_tool` under this one. `systems` says which stages each system has, `claims` what each really
proves and hides.
"""
