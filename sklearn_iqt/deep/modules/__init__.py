"""The nets in plain torch, one idea in each file."""

from sklearn_iqt.deep.modules._aniso_unet import AnisoUNet
from sklearn_iqt.deep.modules._base_net import BaseNet
from sklearn_iqt.deep.modules._blocks import interleave, reconstruct, split_blocks
from sklearn_iqt.deep.modules._complementary import ComplementaryMap, complementary_kernel
from sklearn_iqt.deep.modules._deep_dictionary_net import DeepDictionaryNet
from sklearn_iqt.deep.modules._dictionary import DeepDictionary
from sklearn_iqt.deep.modules._encoder import CodeEncoder
from sklearn_iqt.deep.modules._fusion import Fusion
from sklearn_iqt.deep.modules._generator import DictionaryGenerator
from sklearn_iqt.deep.modules._level_plan import Level, plan_levels
from sklearn_iqt.deep.modules._predictor import BottleneckBlock, PixelPredictor
from sklearn_iqt.deep.modules._residual_core import ConvReluNorm, ResidualCore
from sklearn_iqt.deep.modules._skip_bottleneck import SkipBottleneck
from sklearn_iqt.deep.modules._unetpp import UNetPlusPlus, pooling_plan
from sklearn_iqt.deep.modules._upsample import Upsample

__all__ = [
    "AnisoUNet",
    "BaseNet",
    "BottleneckBlock",
    "CodeEncoder",
    "ComplementaryMap",
    "ConvReluNorm",
    "DeepDictionary",
    "DeepDictionaryNet",
    "DictionaryGenerator",
    "Fusion",
    "Level",
    "PixelPredictor",
    "ResidualCore",
    "SkipBottleneck",
    "UNetPlusPlus",
    "Upsample",
    "complementary_kernel",
    "interleave",
    "plan_levels",
    "pooling_plan",
    "reconstruct",
    "split_blocks",
]
