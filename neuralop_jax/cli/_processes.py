"""How the processes of one training find each other: told on the command line, or by SLURM, MPI and TPUs."""

import os
from collections.abc import Mapping
from typing import NoReturn

from neuralop_jax._spared_output import discard_unwritten
from neuralop_jax.errors import ConfigError


def join(coordinator: str = "", processes: int = 0, process: int = -1) -> None:
    """Joins the processes of a run by `jax.distributed`, before anything else uses JAX; alone, it does nothing.

    **Arguments:**

    - `coordinator`: `HOST:PORT` of the first process; empty where the environment tells; `auto` where JAX may ask the metadata
        server of a Cloud TPU.
    - `processes`, `process`: how many there are, and which this is, from 0.

    **Raises:** `ConfigError` if the three contradict each other, or the others cannot be reached.
    """
    asked = coordinator == "auto" and not processes and process < 0
    told = not asked and (coordinator or processes or process >= 0)
    if told and not (coordinator and processes > 0 and 0 <= process < processes):
        raise ConfigError(
            f"--coordinator {coordinator or 'HOST:PORT'!r}, --processes {processes} and --process {process} go together: the "
            "address of the first process, how many there are, and which this is, from 0. Give all three, or --coordinator auto."
        )
    if not told and not asked and not cluster(os.environ):
        return
    import jax

    try:
        if told:
            jax.distributed.initialize(coordinator, processes, process)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        where = f"at {coordinator}" if told else f"by {cluster(os.environ) or 'what JAX found'}"
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise ConfigError(
            f"the processes of the run did not meet {where}: {reason}. Check the address, and that all run."
        ) from error


def leave(code: int) -> NoReturn:
    """Ends this process at once. At a usual end JAX waits for processes that are gone, and aborts after 100 seconds."""
    discard_unwritten()
    os._exit(code)


def cluster(environment: Mapping[str, str]) -> str:
    """What started several processes together, by its environment variables; empty if nothing did."""
    count = lambda name: int(environment[name]) if environment.get(name, "").isdigit() else 1
    if count("SLURM_STEP_NUM_TASKS") > 1 and "SLURM_PROCID" in environment:
        return "SLURM"
    if len(environment.get("TPU_WORKER_HOSTNAMES", "").split(",")) > 1 or "MEGASCALE_COORDINATOR_ADDRESS" in environment:
        return "TPU"
    return "MPI" if count("OMPI_COMM_WORLD_SIZE") > 1 else ""
