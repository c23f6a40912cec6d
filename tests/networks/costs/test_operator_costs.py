"""Every layer of torch.nn is counted by its closed form or is free; so are torch's functions."""

import inspect
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.ao.quantization import get_default_qat_qconfig, prepare_qat
from torch.nn.utils import parametrizations, spectral_norm, weight_norm
from torch.utils.flop_counter import FlopCounterMode

from autodepth.networks.costs.cost import count_macs

N, C, S = 2, 8, 6  # images, channels, height and width
VECTORS, ROWS = torch.rand(N, C), torch.rand(N, C, S)
IMAGES, VOLUMES = torch.rand(N, C, S, S), torch.rand(N, C, S, S, S)
STEPS = torch.rand(S, N, C)  # as recurrent layers and attention take them

FREE = [
    (nn.AdaptiveAvgPool1d(2), ROWS),
    (nn.AdaptiveAvgPool2d(2), IMAGES),
    (nn.AdaptiveAvgPool3d(2), VOLUMES),
    (nn.AdaptiveMaxPool1d(2), ROWS),
    (nn.AdaptiveMaxPool2d(2), IMAGES),
    (nn.AdaptiveMaxPool3d(2), VOLUMES),
    (nn.AlphaDropout(), IMAGES),
    (nn.AvgPool1d(2), ROWS),
    (nn.AvgPool2d(2), IMAGES),
    (nn.AvgPool3d(2), VOLUMES),
    (nn.BatchNorm1d(C), VECTORS),
    (nn.BatchNorm2d(C), IMAGES),
    (nn.BatchNorm2d(C, track_running_stats=False), IMAGES),
    (nn.BatchNorm3d(C), VOLUMES),
    (nn.CELU(), IMAGES),
    (nn.ChannelShuffle(2), IMAGES),
    (nn.CircularPad1d(1), ROWS),
    (nn.CircularPad2d(1), IMAGES),
    (nn.CircularPad3d(1), VOLUMES),
    (nn.ConstantPad1d(1, 0.5), ROWS),
    (nn.ConstantPad2d(1, 0.5), IMAGES),
    (nn.ConstantPad3d(1, 0.5), VOLUMES),
    (nn.CosineSimilarity(), (IMAGES, IMAGES)),
    (nn.CrossMapLRN2d(3), IMAGES),
    (nn.Dropout(), IMAGES),
    (nn.Dropout1d(), ROWS),
    (nn.Dropout2d(), IMAGES),
    (nn.Dropout3d(), VOLUMES),
    (nn.ELU(), IMAGES),
    (nn.Embedding(9, C), torch.arange(6)[None]),
    (nn.EmbeddingBag(9, C), torch.arange(6)[None]),
    (nn.EmbeddingBag(9, C, mode="max"), torch.arange(6)[None]),
    (nn.FeatureAlphaDropout(), IMAGES),
    (nn.Flatten(), IMAGES),
    (nn.Fold(4, 2), torch.rand(N, 8, 9)),
    (nn.FractionalMaxPool2d(2, output_size=3), IMAGES),
    (nn.FractionalMaxPool3d(2, output_size=3), VOLUMES),
    (nn.GELU(), IMAGES),
    (nn.GELU("tanh"), IMAGES),
    (nn.GLU(1), IMAGES),
    (nn.GroupNorm(2, C), IMAGES),
    (nn.Hardshrink(), IMAGES),
    (nn.Hardsigmoid(), IMAGES),
    (nn.Hardswish(inplace=True), IMAGES),
    (nn.Hardtanh(), IMAGES),
    (nn.Identity(), IMAGES),
    (nn.InstanceNorm1d(C), ROWS),
    (nn.InstanceNorm2d(C, affine=True), IMAGES),
    (nn.InstanceNorm3d(C), VOLUMES),
    (nn.LPPool1d(2, 2), ROWS),
    (nn.LPPool2d(2, 2), IMAGES),
    (nn.LPPool3d(2, 2), VOLUMES),
    (nn.LayerNorm(S), IMAGES),
    (nn.LeakyReLU(), IMAGES),
    (nn.LocalResponseNorm(3), IMAGES),
    (nn.LogSigmoid(), IMAGES),
    (nn.LogSoftmax(1), IMAGES),
    (nn.MaxPool1d(2), ROWS),
    (nn.MaxPool2d(2), IMAGES),
    (nn.MaxPool3d(2), VOLUMES),
    (nn.MaxUnpool1d(2), nn.MaxPool1d(2, return_indices=True)(ROWS)),
    (nn.MaxUnpool2d(2), nn.MaxPool2d(2, return_indices=True)(IMAGES)),
    (nn.MaxUnpool3d(2), nn.MaxPool3d(2, return_indices=True)(VOLUMES)),
    (nn.Mish(), IMAGES),
    (nn.PReLU(C), IMAGES),
    (nn.PairwiseDistance(), (VECTORS, VECTORS)),
    (nn.PixelShuffle(2), IMAGES),
    (nn.PixelUnshuffle(2), IMAGES),
    (nn.RMSNorm(S), IMAGES),
    (nn.RReLU(), IMAGES),
    (nn.ReLU(inplace=True), IMAGES),
    (nn.ReLU6(), IMAGES),
    (nn.ReflectionPad1d(1), ROWS),
    (nn.ReflectionPad2d(1), IMAGES),
    (nn.ReflectionPad3d(1), VOLUMES),
    (nn.ReplicationPad1d(1), ROWS),
    (nn.ReplicationPad2d(1), IMAGES),
    (nn.ReplicationPad3d(1), VOLUMES),
    (nn.SELU(), IMAGES),
    (nn.SiLU(), IMAGES),
    (nn.Sigmoid(), IMAGES),
    (nn.Softmax(1), IMAGES),
    (nn.Softmax2d(), IMAGES),
    (nn.Softmin(1), IMAGES),
    (nn.Softplus(), IMAGES),
    (nn.Softshrink(), IMAGES),
    (nn.Softsign(), IMAGES),
    (nn.SyncBatchNorm(C), IMAGES),
    (nn.Tanh(), IMAGES),
    (nn.Tanhshrink(), IMAGES),
    (nn.Threshold(0.1, 0.0), IMAGES),
    (nn.Unflatten(1, (2, 4)), IMAGES),
    (nn.Unfold(2), IMAGES),
    *((nn.Upsample(scale_factor=2, mode=m), ROWS) for m in ("nearest", "linear")),
    *(
        (nn.Upsample(scale_factor=2, mode=m), IMAGES)
        for m in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    ),
    *((nn.Upsample(scale_factor=2, mode=m), VOLUMES) for m in ("nearest", "trilinear")),
    (nn.UpsamplingBilinear2d(scale_factor=2), IMAGES),
    (nn.UpsamplingNearest2d(scale_factor=2), IMAGES),
    (nn.ZeroPad1d(1), ROWS),
    (nn.ZeroPad2d(1), IMAGES),
    (nn.ZeroPad3d(1), VOLUMES),
]


def attention(queries, keys, width=C):
    """Multiply-accumulates of attention: four projections, scores and sums."""
    return 2 * width**2 * (queries + keys) + 2 * queries * keys * width


def encoder(tokens, width=C, hidden=16):
    return attention(tokens, tokens) + 2 * tokens * width * hidden


def decoder(targets, tokens, width=C, hidden=16):
    return encoder(targets, width, hidden) + attention(targets, tokens)


WIDE = {"dim_feedforward": 16, "batch_first": True}
TOKENS, TARGETS = torch.rand(N, S, C), torch.rand(N, 4, C)
TRANSFORMER = {"num_encoder_layers": 2, "num_decoder_layers": 1, **WIDE}
RECURRENT = [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)]
COUNTED = [
    (nn.Linear(C, 5), VECTORS, N * C * 5),
    (nn.Bilinear(C, C, 5), (VECTORS, VECTORS), N * C * C * 5),
    (nn.Conv1d(C, 4, 3), ROWS, N * 4 * (S - 2) * C * 3),
    (nn.Conv2d(C, 4, 3, padding=1, groups=2), IMAGES, N * 4 * S**2 * C // 2 * 9),
    (nn.Conv2d(C, 4, 3, padding=1, padding_mode="circular"), IMAGES, N * 4 * S**2 * C * 9),
    (nn.Conv3d(C, 4, 1), VOLUMES, N * 4 * S**3 * C),
    (nn.ConvTranspose1d(C, 4, 2, stride=2), ROWS, N * C * S * 4 * 2),
    (nn.ConvTranspose2d(C, 4, 2, stride=2), IMAGES, N * C * S**2 * 4 * 4),
    (nn.ConvTranspose3d(C, 4, 2, stride=2), VOLUMES, N * C * S**3 * 4 * 8),
    (nn.MultiheadAttention(C, 2), (STEPS, STEPS, STEPS), N * attention(S, S)),
    (nn.TransformerEncoderLayer(C, 2, **WIDE), TOKENS, N * encoder(S)),
    (
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(C, 2, **WIDE).requires_grad_(requires_grad=False), 2
        ),
        TOKENS,
        2 * N * encoder(S),
    ),
    (nn.TransformerDecoderLayer(C, 2, **WIDE), (TARGETS, TOKENS), N * decoder(4, S)),
    (
        nn.TransformerDecoder(nn.TransformerDecoderLayer(C, 2, **WIDE), 2),
        (TARGETS, TOKENS),
        2 * N * decoder(4, S),
    ),
    (
        nn.Transformer(C, 2, **TRANSFORMER),
        (TOKENS, TARGETS),
        N * (2 * encoder(S) + decoder(4, S)),
    ),
    *((kind(C, 5), STEPS, S * N * gates * 5 * (C + 5)) for kind, gates in RECURRENT),
    *(
        (
            kind(C, 5, num_layers=2, bidirectional=True),
            STEPS,
            S * N * gates * 2 * (5 * (C + 5) + 5 * (10 + 5)),
        )
        for kind, gates in RECURRENT
    ),
    (nn.LSTM(C, 5, proj_size=3), STEPS, S * N * (4 * 5 * (C + 3) + 5 * 3)),
    *(
        (kind(C, 5), VECTORS, N * gates * 5 * (C + 5))
        for kind, gates in [(nn.RNNCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)]
    ),
]


def named(layers):
    return [pytest.param(*layer, id=f"{type(layer[0]).__name__}-{i}") for i, layer in layers]


class Called(nn.Module):
    """Calls a layer with several inputs."""

    def __init__(self, layer, inputs):
        super().__init__()
        self.layer, self.inputs = layer, inputs

    def forward(self, _):
        return self.layer(*self.inputs)


def macs(layer, inputs):
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return count_macs(Called(layer, inputs), torch.zeros(1))


@pytest.mark.parametrize(("layer", "inputs"), named(enumerate(FREE)))
def test_a_layer_that_multiplies_no_matrices_is_free(layer, inputs):
    assert macs(layer, inputs) == 0


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(("layer", "inputs", "expected"), named(enumerate(COUNTED)))
def test_a_layer_that_multiplies_matrices_has_its_closed_form(layer, inputs, expected):
    assert macs(layer, inputs) == expected


def test_no_layer_of_torch_is_left_out():
    layers = {
        name
        for name, kind in vars(nn).items()
        if inspect.isclass(kind) and issubclass(kind, nn.Module)
    }
    tried = {type(layer).__name__ for layer, *_ in [*FREE, *COUNTED]}
    containers = {
        *("Container", "DataParallel", "Module", "ModuleDict", "ModuleList", "ParameterDict"),
        *("ParameterList", "RNNBase", "RNNCellBase", "Sequential"),
    }
    losses = {name for name in layers if name.endswith(("Loss", "Loss2d"))}
    lazy = {name for name in layers if name.startswith("Lazy")}  # become one of the others

    assert layers - containers - losses - lazy == tried


def distance_grid(x):
    return F.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), list(x.shape))


P = N * C * S * S  # values of the images
FUNCTIONS = {
    "logsumexp": (lambda x: torch.logsumexp(x, 1), 0),
    "median": (lambda x: x.median(3)[0], 0),
    "quantile": (lambda x: x.quantile(0.5, 1), 0),
    "prod": (lambda x: x.prod(1), 0),
    "sort, topk, kthvalue": (lambda x: (x.sort()[0], x.topk(2), x.kthvalue(2)), 0),
    "cumulative": (lambda x: (x.cumsum(1), x.cumprod(1), x.cummax(1), x.logcumsumexp(1)), 0),
    "fft": (lambda x: torch.fft.irfft2(torch.fft.rfft2(x)), 0),
    "stft": (lambda x: torch.stft(x[:, 0, 0], 4, window=torch.ones(4), return_complex=True), 0),
    "grid_sample": (lambda x: F.grid_sample(x, torch.zeros(N, 3, 3, 2)), 0),
    "grid_sample in three": (
        lambda _: F.grid_sample(VOLUMES, torch.zeros(N, 2, 2, 2, 3), align_corners=False),
        0,
    ),
    "affine_grid": (distance_grid, N * S * S * 6),
    "cdist": (lambda x: torch.cdist(x, x), P * S),
    "cdist of many": (lambda _: torch.cdist(torch.rand(30, C), torch.rand(40, C)), 1200 * C),
    "cdist, p=1": (lambda x: torch.cdist(x, x, p=1), P * S),
    "pdist": (lambda x: torch.pdist(x[0, 0]), S * (S - 1) // 2 * S),
    "einsum": (lambda x: torch.einsum("nchw,nchv->ncwv", x, x), P * S),
    "matmul": (lambda x: x @ x, P * S),
    "bmm": (lambda x: torch.bmm(x[:, 0], x[:, 0]), P // C * S),
    "baddbmm": (lambda x: torch.baddbmm(x[:, 0], x[:, 0], x[:, 0]), P // C * S),
    "baddbmm in place": (lambda x: x[:, 0].clone().baddbmm_(x[:, 0], x[:, 0]), P // C * S),
    "addbmm": (lambda x: torch.addbmm(x[0, 0], x[:, 0], x[:, 0]), P // C * S),
    "addmm": (lambda x: torch.addmm(x[0, 0], x[0, 0], x[0, 0]), S**3),
    "mm": (lambda x: torch.mm(x[0, 0], x[0, 0]), S**3),
    "mv": (lambda x: torch.mv(x[0, 0], x[0, 0, 0]), S**2),
    "addmv in place": (lambda x: torch.zeros(S).addmv_(x[0, 0], x[0, 0, 0]), S**2),
    "dot": (lambda x: torch.dot(x[0, 0, 0], x[0, 0, 0]), S),
    "tensordot": (lambda x: torch.tensordot(x[0], x[0], dims=([0, 1], [0, 1])), C * S * S * S),
    "bilinear": (lambda x: F.bilinear(x, x, torch.rand(5, S, S)), P // S * 5 * S * S),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), 2 * P * S),
    "conv2d": (lambda x: F.conv2d(x, torch.rand(4, C, 3, 3), padding=1), N * 4 * S * S * C * 9),
    "normalize": (F.normalize, 0),
    "one_hot": (lambda x: F.one_hot(x.argmax(1)), 0),
    "gumbel_softmax": (F.gumbel_softmax, 0),
    "random": (lambda x: x + torch.randn_like(x) + torch.rand(S) + torch.normal(x, x), 0),
    "where": (lambda x: x[x > 0.5].sum() + torch.where(x > 0, x, 0).sum(), 0),
    "scatter": (lambda x: x.scatter_add(1, x.argsort(1), x), 0),
    "without gradients": (torch.no_grad()(lambda x: F.linear(x, torch.rand(5, S))), P * 5),
    "inference mode": (torch.inference_mode()(lambda x: F.linear(x, torch.rand(5, S))), P * 5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:Default grid_sample")
@pytest.mark.filterwarnings("ignore:Default affine_grid")
def test_a_function_of_torch_is_counted_or_free(name):
    function, expected = FUNCTIONS[name]

    class Apply(nn.Module):
        def forward(self, x):
            return function(x)

    assert count_macs(Apply(), IMAGES) == expected


CONVOLUTION = N * C * S * S * C


@pytest.mark.parametrize(
    "parametrised",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        weight_norm,
        spectral_norm,
    ],
    ids=["weight_norm", "spectral_norm", "orthogonal", "old weight_norm", "old spectral_norm"],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_computing_a_weight_from_others_costs_nothing_per_image(parametrised):
    assert macs(parametrised(nn.Conv2d(C, C, 1)), IMAGES) == CONVOLUTION


def test_observers_of_quantisation_are_free():
    network = nn.Sequential(nn.Conv2d(C, C, 1), nn.ReLU()).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.qconfig = get_default_qat_qconfig("fbgemm")
        network = prepare_qat(network)
    network(IMAGES)

    assert macs(network, IMAGES) == CONVOLUTION


def test_counts_are_those_of_torchs_own_counter_where_it_knows_the_operators():
    network = nn.Sequential(nn.Conv2d(C, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    with FlopCounterMode(display=False) as counter:
        network(IMAGES)

    assert macs(network, IMAGES) == counter.get_total_flops() // 2 > 0


def test_taking_an_operator_apart_leaves_buffers_as_the_network_does():
    norm = nn.BatchNorm2d(C)
    with torch.no_grad():
        norm.running_mean.fill_(3.0)

    class Training(nn.Module):
        def forward(self, x):
            return F.batch_norm(x, norm.running_mean, norm.running_var, training=True)

    count_macs(Training(), IMAGES)

    once = 0.9 * 3.0 + 0.1 * IMAGES.mean((0, 2, 3))
    assert torch.allclose(norm.running_mean, once)
    assert math.isfinite(float(norm.running_var.sum()))
