"""What one would write down of each kind of network before tuning anything."""

from trainables.torch_parameters import TRAINING, Parameters

CNN: Parameters = {
    **TRAINING,
    "channels": 16,
    "layers": 2,
    "kernel_size": 3,
    "activation": "relu",
    "norm": "batch",
    "residual": False,
    "dropout": 0.25,
    "cutmix": 0.0,
}

MLP: Parameters = {
    **TRAINING,
    "layers": 2,
    "width": 64,
    "taper": 1.0,
    "activation": "relu",
    "norm": "batch",
    "residual": False,
    "dropout": 0.1,
}

SEQUENCE: Parameters = {**TRAINING, "block": "gru", "layers": 1, "width": 64, "heads": 4, "dropout": 0.1}
