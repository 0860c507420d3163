# The public names, for type checkers and for lazy_loader, which reads this file.

from ._version import __version__ as __version__
from .base import BaseIQTRegressor as BaseIQTRegressor
from .checks import check_scan as check_scan
from .compose import AnyGridIQT as AnyGridIQT
from .compose import ConformalIQT as ConformalIQT
from .compose import ContrastMatchingIQT as ContrastMatchingIQT
from .compose import IntensityCurveIQT as IntensityCurveIQT
from .compose import InterpolationIQT as InterpolationIQT
from .compose import PatchwiseRegressor as PatchwiseRegressor
from .compose import SelfSupervisedIQT as SelfSupervisedIQT
from .deep import AnisoUNetRegressor as AnisoUNetRegressor
from .deep import DDLRegressor as DDLRegressor
from .dictionary import CoupledDictionaryIQT as CoupledDictionaryIQT
from .io import load_volume as load_volume
from .io import save_volume as save_volume
from .patches import PatchGrid as PatchGrid
from .patches import PatchMerger as PatchMerger
from .patches import PatchTransformer as PatchTransformer
from .persistence import load_model as load_model
from .persistence import load_pretrained as load_pretrained
from .persistence import save_model as save_model
from .preprocessing import NyulScaler as NyulScaler
from .preprocessing import PercentileScaler as PercentileScaler
from .preprocessing import TissueScaler as TissueScaler
from .simulation import LowFieldSimulator as LowFieldSimulator
