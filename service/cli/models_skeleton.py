# SPDX-License-Identifier: Apache-2.0
"""What `dokuei models init` writes: a manifest to fill in, where every line says what belongs there."""

from typing import Final

HOW_TO: Final = """{folder}: a package to fill in. What to do, in this order:

 1. Copy your graphs to graphs/NAME.onnx: one file each, operator set 18 or older, operators of ai.onnx alone.
 2. Save golden tensors as golden/NAME-00.npz with numpy.savez: "inputs/TENSOR" and "outputs/TENSOR", the outputs as
    your training framework computes them.
 3. Put at least two whole phantom studies into golden/STUDY/*.dcm, Quality Control Image (0028,0300) YES: one with
    findings, one without.
 4. Fill in manifest.yaml, MODEL_CARD.md and LICENSE. Every line of the manifest says what belongs there.
 5. dokuei models seal --record {folder}
    lists the files with their digests and writes golden/STUDY/expected.json. Read these records: from now on they are
    what the pipeline must come to, everywhere.
 6. dokuei models check {folder}
    says what is missing or wrong, until nothing is.
 7. dokuei models sign {folder} --key KEY.pem; dokuei models export {folder}

docs/model-packages.md has the whole story.
"""

MODEL_CARD: Final = """# (title)

## What it is for, and for whom

## Data it was trained on
Sites, years, scanners, number of patients, who labelled, ethics reference. Split by patient.

## How well it works
First under scanner shift, then in-domain; numbers of cases; confidence intervals.

## Where it fails
What it was not trained on, known failures, patients for whom it is worse.
"""

LICENSE: Final = "(the licence of the weights; who may use them, for what)\n"

_SKELETON: Final = """\
# A model package of Dokuei. Keys that are not known are refused. docs/model-packages.md explains each.
schema_version: 1
name: {name}
version: {version}
title: (what people read beside every result; at most 64 characters)
pipeline: {pipeline}
# demonstration: trained on phantoms. research: yours, not validated at any site. What lies above (site-validated,
# approved) is never written here by hand: 'dokuei models promote' writes it.
status: research
# prohibited | research-only | permitted (with status approved alone)
clinical_use: research-only
intended_use: (for which question, on which images, of which people, read by whom)
trained_on: (data sets, sites, years, number of patients)
licence: (SPDX identifier)
contact: (who answers for it)

# One entry for each ONNX file. Names, dtypes and shapes must be those of the file; a size is a number, a symbol such as
# batch (the same wherever it stands), or null for any.
graphs:
  classifier:
    file: graphs/classifier.onnx
    inputs:
      image: {{dtype: float32, shape: [batch, 1, 256, 256], channels: [grey], value_range: [0.0, 1.0]}}
    outputs:
      logits: {{dtype: float32, shape: [batch, 2]}}

# What the graph tells apart, in the order of its output; codes are of service/codes.csv.
classes:
  - {{name: finding, title: (in words)}}

# Thresholds by name, and what each did on which data. The pipeline reads some by name; see docs/model-packages.md.
operating_points:
  screening: {{threshold: 0.5, sensitivity: 0.9, specificity: 0.8, measured_on: (which cases)}}
triage_operating_point: screening

# What the pipeline does to the image before the graph and to its outputs after it, and which images it takes at all.
# Copy both from the package of this pipeline that comes with Dokuei, then change the values.
parameters: {{}}
acceptance: {{}}

training:
  recipe: (where the code is, or how to get it)
  seed: 0
  data: (once more, shortly)
  metrics: # the first one is measured under scanner shift: patients are a shift
    - {{name: AUC, condition: scanner-shift, value: 0.5, cases: 100}}

# Tensors that every machine must reproduce: at least one for each graph. tolerance is the largest absolute difference.
# Runs in bf16, too, with tolerance_bf16 here and under golden_studies (docs/model-packages.md).
golden:
  - {{graph: classifier, file: golden/classifier-00.npz, tolerance: 0.001}}

# Whole studies that the pipeline must analyse as it did for you: golden/NAME/*.dcm and golden/NAME/expected.json.
# tolerance is a share of each number.
golden_studies:
  - {{name: with-findings, tolerance: 0.02}}
  - {{name: without-findings, tolerance: 0.02}}
# The pipeline refuses a golden study whose pixels are replaced by noise.
refuses_noise: true

# What one golden study may cost: seconds of CPU time on one thread, bytes of memory.
budget: {{seconds: 60, memory_bytes: 2000000000}}

# Maps that are the score itself, spread out over the image: their mean plus 'constant' is the score.
# decompositions:
#   - {{graph: classifier, map: cam, score: logits, index: 1, constant: [0.0], tolerance: 0.001}}

# How far its scores are to be believed; docs/model-packages.md says what the pipeline does with each.
# calibration:
#   - {{target: film, method: temperature, parameters: {{temperature: 1.5}}, n: 400, positives: 200, prevalence: 0.5}}
# conformal:
#   - {{target: film, method: ordinal, level: 0.8, quantile: 0.8, n: 400}}
# out_of_distribution:
#   - {{graph: classifier, output: distance_shallow, threshold: 10.0, quantile: 0.99, n: 400}}
#   - {{graph: classifier, output: distance_deep, threshold: 10.0, quantile: 0.99, n: 400}}

# 'dokuei models seal' writes what follows.
files: {{}}
"""


def manifest_skeleton(name: str, *, version: str, pipeline: str) -> str:
    """Return a commented manifest."""
    return _SKELETON.format(name=name, version=version, pipeline=pipeline)
