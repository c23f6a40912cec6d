"""Interpreters that lack what an export has to do without."""

# Stands in for an interpreter that has numpy and onnxruntime alone.
ALONE = """
import runpy, sys
for name in ("torch", "autodepth", "onnx", "safetensors", *{more}):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
