"""What Hydra itself asks of a launcher."""

import pytest
from hydra import version
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

Plugins.instance()  # all are registered before ``hydra_restore_singletons`` copies the registry

hydra_1_1 = pytest.mark.filterwarnings("ignore:Future Hydra versions will no longer change working")


@pytest.fixture(autouse=True)
def as_of_hydra_1_1(hydra_restore_singletons):
    """Hydra 1.3's suites expect a job's folder to be its working directory, as in Hydra 1.1."""
    if hasattr(version, "__compat_version__"):
        version.VersionBase.instance().setbase(version.__compat_version__)


@hydra_1_1
@pytest.mark.parametrize(("launcher_name", "overrides"), [("fleet", [])])
class TestFleetLauncher(LauncherTestSuite):
    pass


@hydra_1_1
@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("fleet", ["hydra.sweeper.max_batch_size=2"])]
)
class TestBatches(BatchedSweeperTestSuite):
    pass


@pytest.mark.slow  # a process each
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=fleet"])]
)
class TestIntegration(IntegrationTestSuite):
    pass
