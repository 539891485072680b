# SPDX-License-Identifier: Apache-2.0
"""The commands of `dokuei phantom` and their help, one for each kind of phantom."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

phantom_app = typer.Typer(
    no_args_is_help=True,
    help="Write phantom studies as DICOM: chest films, chest and head CT, mammograms, lesions; plain or awkward.\n\n"
    "Everything is computed from a seed: the same seed and options give the same bytes. No image comes from a patient, "
    "and each file says so. Needs a source checkout. What the phantoms model, and what not: docs/phantoms.md.",
)

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Each phantom gets a folder of its own here.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed, the same bytes; another, another body.")]
Count = Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="So many, from --seed on.")]
VariantName = Annotated[
    str | None, typer.Option("--variant", metavar="NAME", help="An awkward variant instead; --list names them.")
]
List = Annotated[bool, typer.Option("--list", help="Show what there is to choose from, and write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="With --list: JSON for scripts.")]
Preview = Annotated[bool, typer.Option("--preview", help="Add preview.png, a few images side by side.")]
HERE = Path("phantoms")


def _command() -> Any:
    return import_module("service.cli.phantom")


def _write(kind: str, *, listing: bool, as_json: bool, options: dict[str, Any], **common: Any) -> None:
    if listing:
        _command().list_kind(kind, as_json=as_json)
        return
    _command().phantom(kind, options=options, **common)


@phantom_app.command()
def radiograph(
    *,
    out: Out = HERE,
    seed: Seed = 1,
    count: Count = 1,
    profusion: Annotated[str, typer.Option(help="ILO 12-point scale, 0/- to 3/+.")] = "0/0",
    shape: Annotated[str, typer.Option(help="Primary and secondary shape, p q r s t u: q, or q/t.")] = "q",
    zone: Annotated[
        list[str] | None, typer.Option(help="RU RM RL LU LM LL; may be given several times; all six if absent.")
    ] = None,
    large_mm: Annotated[float, typer.Option(help="Diameter of a large opacity in the first zone; 0 for none.")] = 0.0,
    variant: VariantName = None,
    preview: Preview = False,
    listing: List = False,
    as_json: Json = False,
) -> None:
    """Write a PA chest radiograph (DX, 0.2 mm) with dust opacities as told.

    dokuei phantom radiograph --profusion 2/1 --shape p/q --zone RU --zone LU --preview
    """
    options = {"profusion": profusion, "shape": shape, "zone": zone, "large_mm": large_mm}
    common = {"out": out, "seed": seed, "count": count, "variant": variant, "preview": preview}
    _write("radiograph", listing=listing, as_json=as_json, options=options, **common)


@phantom_app.command()
def hrct(
    *,
    out: Out = HERE,
    seed: Seed = 1,
    count: Count = 1,
    pattern: Annotated[str | None, typer.Option(help="Pattern of diffuse disease; healthy lungs if absent.")] = None,
    extent: Annotated[float, typer.Option(help="Percent of the region that is involved.")] = 100.0,
    side: Annotated[str, typer.Option(help="R, L or both.")] = "both",
    levels: Annotated[
        tuple[float, float], typer.Option(metavar="TOP BOTTOM", help="Heights of the region: 0 apex, 1 base.")
    ] = (0.0, 1.0),
    depth_mm: Annotated[float | None, typer.Option(help="Only so deep below the pleura; everywhere if absent.")] = None,
    slices: Annotated[int, typer.Option(help="Slices over the 240 mm of the lungs.")] = 160,
    thickness_mm: Annotated[float | None, typer.Option(help="Slice Thickness; 1.5 mm or less if absent.")] = None,
    variant: VariantName = None,
    preview: Preview = False,
    listing: List = False,
    as_json: Json = False,
) -> None:
    """Write a thin-section chest CT (CT, 512 x 512, 0.7 mm) with a pattern where you want it.

    dokuei phantom hrct --pattern honeycombing --levels 0.6 1 --depth-mm 15 --extent 70 --preview
    """
    options = {"pattern": pattern, "extent": extent, "side": side, "levels": levels, "depth_mm": depth_mm}
    options |= {"slices": slices, "thickness_mm": thickness_mm}
    common = {"out": out, "seed": seed, "count": count, "variant": variant, "preview": preview}
    _write("hrct", listing=listing, as_json=as_json, options=options, **common)


@phantom_app.command()
def mammogram(
    *,
    out: Out = HERE,
    seed: Seed = 1,
    count: Count = 1,
    mass_mm: Annotated[float, typer.Option(help="Diameter of a mass; 0 for none.")] = 0.0,
    spicules: Annotated[int, typer.Option(help="Strands that radiate from the mass; alone, a distortion.")] = 0,
    calcifications: Annotated[int, typer.Option(help="Grains of a cluster of calcifications; 0 for none.")] = 0,
    breast: Annotated[str, typer.Option(help="L or R: which breast has them.")] = "L",
    view: Annotated[str | None, typer.Option(help="CC or MLO alone; both if absent.")] = None,
    variant: VariantName = None,
    preview: Preview = False,
    listing: List = False,
    as_json: Json = False,
) -> None:
    """Write the four standard mammograms (MG, For Presentation, 0.1 mm) of a woman, with or without a lesion.

    dokuei phantom mammogram --mass-mm 14 --spicules 12 --breast R --preview

    dokuei phantom mammogram --spicules 22 --view CC    # an architectural distortion
    """
    options = {"mass_mm": mass_mm, "spicules": spicules, "calcifications": calcifications, "breast": breast}
    common = {"out": out, "seed": seed, "count": count, "variant": variant, "preview": preview}
    _write("mammogram", listing=listing, as_json=as_json, options={**options, "view": view}, **common)


@phantom_app.command()
def voi(
    *,
    out: Out = HERE,
    seed: Seed = 1,
    count: Count = 1,
    lesion: Annotated[str, typer.Option(help="Kind of lesion; --list names them.")] = "nodule",
    diameter_mm: Annotated[float | None, typer.Option(help="Mean diameter; drawn if absent.")] = None,
    contrast_hu: Annotated[float | None, typer.Option(help="Lesion less surroundings, either sign.")] = None,
    ring: Annotated[bool | None, typer.Option("--ring/--no-ring", help="A bright rim and a dark core.")] = None,
    matrix: Annotated[int, typer.Option(help="Voxels along the cube's side.")] = 64,
    preview: Preview = False,
    listing: List = False,
    as_json: Json = False,
) -> None:
    """Write a lesion in its surroundings: a cube as CT series, and lesion.npz with voxels and their exact mask.

    dokuei phantom voi --lesion brain --ring --diameter-mm 18 --count 20
    """
    options = {"lesion": lesion, "diameter_mm": diameter_mm, "contrast_hu": contrast_hu, "ring": ring}
    common = {"out": out, "seed": seed, "count": count, "variant": None, "preview": preview}
    _write("voi", listing=listing, as_json=as_json, options={**options, "matrix": matrix}, **common)


@phantom_app.command("head-ct")
def head_ct(
    *,
    out: Out = HERE,
    seed: Seed = 1,
    count: Count = 1,
    finding: Annotated[
        str | None, typer.Option(help="Bleeding or infarct; --list names them. Healthy if absent.")
    ] = None,
    side: Annotated[str, typer.Option(help="R or L.")] = "R",
    size_mm: Annotated[
        float | None, typer.Option(help="Diameter of a clot, thickness of a layer, height of a territory.")
    ] = None,
    shift_mm: Annotated[float | None, typer.Option(help="How far the midline moves away; by size if absent.")] = None,
    thickness_mm: Annotated[float, typer.Option(help="Thickness and distance of the slices.")] = 5.0,
    preview: Preview = False,
    listing: List = False,
    as_json: Json = False,
) -> None:
    """Write a head CT (CT, 512 x 512, 0.45 mm) from vertex to skull base, healthy or with an emergency.

    dokuei phantom head-ct --finding epidural --side L --size-mm 25 --thickness-mm 2.5 --preview
    """
    options = {"finding": finding, "side": side, "size_mm": size_mm, "shift_mm": shift_mm}
    common = {"out": out, "seed": seed, "count": count, "variant": None, "preview": preview}
    _write("head-ct", listing=listing, as_json=as_json, options={**options, "thickness_mm": thickness_mm}, **common)
