"""Parameters of a Corr-AE that trains in a second on the toy dataset, and what its attributes list."""

STAGE_1 = {"hidden": 10, "code": 8, "rbm_epochs": 4, "rbm_batch_size": 16, "device": "cpu"}
BRIEF = {**STAGE_1, "embedding": 6, "batch_size": 16, "epochs": 3}
ROUNDS_1 = 4 * 4 * 5  # four RBMs, four epochs, five batches


def scores_of(line):
    """Return the scores in ``trials_`` or ``finals_`` by the name of the trial."""
    return {name: float(score) for name, score in (part.rsplit(" ", 1) for part in line.split(", "))}
