"""What Hydra itself asks of a launcher."""

import pytest
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

# The suites run as of Hydra 1.1, where a job's folder is its working directory.
hydra_1_1 = pytest.mark.filterwarnings("ignore:Future Hydra versions will no longer change working")


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


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=fleet"])]
)
class TestIntegration(IntegrationTestSuite):
    pass
