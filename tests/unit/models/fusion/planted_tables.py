# SPDX-License-Identifier: Apache-2.0
"""Tables with planted columns: which ones matter is known."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

INFORMATIVE = ("feature 0", "feature 1", "age", "SmokingStatus=YES")


def rows(seed: int = 0, *, patients: int = 240, noise: int = 12) -> list[dict[str, Any]]:
    """Return one or two studies of each patient; image features 0 and 1, age and smoking matter, the rest does not."""
    rng = np.random.default_rng(seed)
    found = []
    for patient in range(patients):
        age, smokes = rng.normal(60, 10), rng.uniform() < 0.4
        effect = 1.2 * (age - 60) / 10 + 1.6 * (smokes - 0.4)
        features = rng.normal(size=2 + noise)
        logit = effect + 2.0 * features[0] - 1.5 * features[1]
        target = int(rng.uniform() < 1 / (1 + np.exp(-logit)))
        for study in range(1 + int(rng.uniform() < 0.3)):
            row: dict[str, Any] = {"PatientID": f"P{patient:03d}", "StudyInstanceUID": f"1.2.{patient}.{study}"}
            row |= {"target": target, "age": "" if rng.uniform() < 0.15 else f"{age:.1f}"}
            row |= {"SmokingStatus": rng.choice(["UNKNOWN", ""]) if rng.uniform() < 0.1 else ("NO", "YES")[smokes]}
            row |= {"grade": str(rng.choice(["low", "middle", "high"]))}
            jitter = features + 0.1 * rng.normal(size=len(features))
            row |= {f"feature {index}": f"{value:.5f}" for index, value in enumerate(jitter)}
            found.append(row)
    return found


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    """Write rows as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path
