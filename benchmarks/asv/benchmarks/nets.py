"""Benchmarks of the anisotropic U-Net and the deep dictionary net."""

from sklearn_iqt import AnisoUNetRegressor, DDLRegressor

from .volumes import make_pair

OPTIONS = {"max_steps": 1, "batch_size": 2, "max_patches": 2, "random_state": 0}
NETS = {"U-Net 8/4": AnisoUNetRegressor(8, 4, **OPTIONS), "DDL-8": DDLRegressor(8, **OPTIONS)}


class Nets:
    """Prediction of one volume by nets that are trained for one step."""

    params = list(NETS)
    param_names = ["net"]
    timeout = 300

    def setup(self, net):
        self.low, high = make_pair()
        self.model = NETS[net].fit([self.low], [high])

    def time_predict(self, net):
        self.model.predict([self.low])

    def peakmem_predict(self, net):
        self.model.predict([self.low])
