"""Forms that networks have where they run: ONNX, OpenVINO, programs of torch and ExecuTorch."""
