"""Which networks the table of networks is about, and what their definitions say."""

# Removing branch by branch takes a while: of these networks each identity branch is tried.
BRANCH_BY_BRANCH = """
resnet18 resnet50 resnext50_32x4d wide_resnet50_2 regnet_x_400mf regnet_y_400mf convnext_tiny
vit_b_32 swin_t swin_v2_t efficientnet_b0 efficientnet_v2_s mobilenet_v2 mobilenet_v3_large
mnasnet0_5 cait_xxs24_224 coat_lite_tiny convit_tiny convnextv2_femto crossvit_tiny_240
deit_tiny_distilled_patch16_224 dla34 edgenext_xx_small efficientformerv2_s0 efficientvim_m1
efficientvit_m0 fasternet_t0 fastvit_t8 ghostnet_100 hrnet_w18_small levit_128 mambaout_femto
mixer_s32_224 mobilevit_xxs pit_ti_224 poolformer_s12 pvt_v2_b0 repghostnet_050 starnet_s1
swiftformer_xs vit_tiny_patch16_224 xcit_nano_12_p16_224
""".split()  # noqa: SIM905 - forty quotes read worse

# Identity and projection branches as the family's definition has them; (0, 0) has none.
TORCHVISION = {
    "resnet18": (5, 3), "resnet34": (13, 3), "resnet50": (12, 4), "resnet101": (29, 4),
    "resnet152": (46, 4), "resnext50_32x4d": (12, 4), "resnext101_32x8d": (29, 4),
    "resnext101_64x4d": (29, 4), "wide_resnet50_2": (12, 4), "wide_resnet101_2": (29, 4),
    "regnet_x_400mf": (18, 4), "regnet_x_800mf": (12, 4), "regnet_x_1_6gf": (14, 4),
    "regnet_x_3_2gf": (21, 4), "regnet_x_8gf": (19, 4), "regnet_x_16gf": (18, 4),
    "regnet_x_32gf": (19, 4), "regnet_y_400mf": (12, 4), "regnet_y_800mf": (10, 4),
    "regnet_y_1_6gf": (23, 4), "regnet_y_3_2gf": (17, 4), "regnet_y_8gf": (13, 4),
    "regnet_y_16gf": (14, 4), "regnet_y_32gf": (16, 4), "regnet_y_128gf": (23, 4),
    "convnext_tiny": (18, 0), "convnext_small": (36, 0), "convnext_base": (36, 0),
    "convnext_large": (36, 0), "vit_b_16": (24, 0), "vit_b_32": (24, 0), "vit_l_16": (48, 0),
    "vit_l_32": (48, 0), "vit_h_14": (64, 0), "swin_t": (24, 0), "swin_s": (48, 0),
    "swin_b": (48, 0), "swin_v2_t": (24, 0), "swin_v2_s": (48, 0), "swin_v2_b": (48, 0),
    "maxvit_t": (51, 4), "efficientnet_b0": (9, 0), "efficientnet_b1": (16, 0),
    "efficientnet_b2": (16, 0), "efficientnet_b3": (19, 0), "efficientnet_b4": (25, 0),
    "efficientnet_b5": (32, 0), "efficientnet_b6": (38, 0), "efficientnet_b7": (48, 0),
    "efficientnet_v2_s": (35, 0), "efficientnet_v2_m": (51, 0), "efficientnet_v2_l": (73, 0),
    "mobilenet_v2": (10, 0), "mobilenet_v3_small": (6, 0), "mobilenet_v3_large": (10, 0),
    "mnasnet0_5": (10, 0), "mnasnet0_75": (10, 0), "mnasnet1_0": (10, 0), "mnasnet1_3": (10, 0),
}  # fmt: skip
# One small model of each module; a module that is not named here is taken by its first model.
TIMM = """
beitv2_base_patch16_224 botnet26t_256 gcresnext50ts cait_xxs24_224 coat_lite_tiny convit_tiny
convmixer_768_32 convnextv2_femto cpubone_t0 crossvit_tiny_240 csatv2 cspresnet50 cspnext_tiny
davit_tiny deepseek_vit_412m deit_tiny_distilled_patch16_224 densenet121 dla34 dpn68
edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientvim_m1
efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf
gcvit_xxtiny gemma4_vit_167m ghostnet_100 hardcorenas_a hgnetv2_b0 hiera_tiny_224 hieradet_small
hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4
lcnetv2_small levit_128 lowformer_b0 mambaout_femto coatnet_nano_rw_224 poolformer_s12
mixer_s32_224 mobilenetv3_small_100 mobilenetv5_base mobilevit_xxs mvitv2_tiny
naflexvit_base_patch16_gap nasnetalarge nest_tiny nextvit_small nf_resnet26 pit_ti_224
pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnety_004 repghostnet_050 repvit_m1
res2net50_14w_8s resnest14d resnet18 resnetv2_50 rexnet_100 selecsls42 legacy_seresnet18
sequencer2d_s shvit_s1 skresnet18 starnet_s1 swiftformer_xs swin_tiny_patch4_window7_224
swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m
twins_svt_small vgg11 visformer_tiny vit_tiny_patch16_224 vit_tiny_r_s16_p8_224
vit_relpos_small_patch16_224 samvit_base_patch16_224 vitamin_small_224 volo_d1_224
ese_vovnet39b legacy_xception xception41 xcit_nano_12_p16_224
""".split()  # noqa: SIM905 - a hundred quotes read worse
# Modules without an addition of x and f(x): plain, densely connected or concatenating networks.
WITHOUT = frozenset({"densenet", "inception_v3", "inception_v4", "rdnet", "selecsls", "vgg"})
# Made for images of 1000 pixels and more; a smaller one shows the same branches.
SMALLER = {"deepseek_vit_412m": 252, "gemma4_vit_167m": 192, "qwen3_vit_88m": 256}
# Kinds of network that transformers has a classifier of images for, by values of a configuration
# that keep it small; all else is the kind's default. `timm_wrapper` is left out: its networks are
# timm's, and `timm:NAME` has them.
_VIT = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3}
_WIDE = {**_VIT, "intermediate_size": 384}
_TEXT = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
}  # fmt: skip
# Kinds that read texts too: what classifies images leaves that part out.
_BOTH = {"vision_config": {**_WIDE, "patch_size": 16}, "text_config": _TEXT}
_SWIN = {"embed_dim": 24, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8]}
HF = {
    "beit": {**_WIDE, "use_relative_position_bias": True},
    "bit": {"embedding_size": 64, "hidden_sizes": [128, 256, 512, 1024], "depths": [2, 2, 2, 2]},
    "clip": _BOTH,
    "convnext": {"hidden_sizes": [24, 48, 96, 192], "depths": [2, 2, 4, 2]},
    "convnextv2": {"hidden_sizes": [24, 48, 96, 192], "depths": [2, 2, 4, 2]},
    "cvt": {"embed_dim": [24, 48, 96], "num_heads": [1, 2, 4], "depth": [1, 2, 4]},
    "data2vec-vision": _WIDE,
    "deit": _WIDE,
    "dinat": _SWIN,
    "dinov2": _VIT,
    "dinov2_with_registers": _VIT,
    "donut-swin": _SWIN,
    "efficientnet": {
        "width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280, "image_size": 224,
    },
    "focalnet": {"embed_dim": 24, "depths": [2, 2, 2, 2]},
    "hgnet_v2": {},
    "hiera": {"embed_dim": 24, "depths": [1, 2, 3, 1], "num_heads": [1, 2, 4, 8]},
    "imagegpt": {"n_embd": 96, "n_layer": 4, "n_head": 3},
    "ijepa": {**_WIDE, "patch_size": 16},
    "levit": {"hidden_sizes": [64, 128, 192], "num_attention_heads": [2, 4, 6]},
    "metaclip_2": _BOTH,
    "mobilenet_v1": {},
    "mobilenet_v2": {},
    "mobilevit": {
        "hidden_sizes": [64, 80, 96], "neck_hidden_sizes": [16, 16, 24, 48, 64, 80, 320],
    },
    "mobilevitv2": {"width_multiplier": 0.5},
    "perceiver": {
        "num_latents": 32, "d_latents": 96, "num_blocks": 1, "num_self_attends_per_block": 4,
        "num_self_attention_heads": 4, "num_cross_attention_heads": 1,
    },
    "poolformer": {"hidden_sizes": [16, 32, 64, 128]},
    "pp_lcnet": {},
    "pvt": {"hidden_sizes": [16, 32, 80, 128]},
    "pvt_v2": {},
    "regnet": {
        "embedding_size": 32, "hidden_sizes": [48, 104, 208, 440], "depths": [1, 3, 6, 6],
        "groups_width": 8,
    },
    "resnet": {
        "embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [2, 2, 2, 2],
        "layer_type": "basic",
    },
    "segformer": {},
    "shieldgemma2": {
        "vision_config": {**_WIDE, "patch_size": 16},
        "text_config": {**_TEXT, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300_000},
    },
    "siglip": _BOTH,
    "siglip2": _BOTH,
    "swiftformer": {"embed_dims": [24, 48, 96, 192], "depths": [2, 2, 4, 2]},
    "swin": _SWIN,
    "swinv2": {**_SWIN, "image_size": 256, "window_size": 8},
    "textnet": {},
    "vit": _WIDE,
    "vit_msn": _WIDE,
}  # fmt: skip
