# SPDX-License-Identifier: Apache-2.0
"""Which rule cuts the zones, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_diffuse_lung_extent import chest, extent_of, section

from service.pipelines.diffuse_lung.zones import ZoneRule, Zoning, cut_zones

HEIGHTS = [200.0 - 20 * index for index in range(11)]
AREAS = [0, 1, 2, 3, 4, 4, 4, 4, 3, 2, 0]


def cut(carina_mm: float | None, *, vein_share: float = 0.4, has_volumes: bool = True) -> Zoning:
    return cut_zones(HEIGHTS, AREAS, carina_mm=carina_mm, vein_share=vein_share, has_volumes=has_volumes)


def test_the_upper_zone_ends_at_the_carina_and_the_lower_begins_at_the_share_below() -> None:
    found = cut(130.0)
    # Lung from 180 to 20 mm: the lower zone begins at 130 - 0.4 x 110 = 86 mm.
    assert (found.rule, found.carina_mm, found.lower_cut_mm) == (ZoneRule.CARINA, 130.0, pytest.approx(86.0))
    assert [height for height, zone in zip(HEIGHTS, found.zones, strict=True) if zone == 0] == [200, 180, 160, 140]
    assert [height for height, zone in zip(HEIGHTS, found.zones, strict=True) if zone == 1] == [120, 100]
    assert "40 % of the way" in found.words
    assert found.values() == {"rule": "carina", "carina_mm": 130.0, "lower_cut_mm": 86.0}


def test_a_slice_at_a_cut_belongs_to_the_zone_below() -> None:
    found = cut(140.0, vein_share=0.5)
    assert found.lower_cut_mm == 80.0
    assert found.zones[HEIGHTS.index(140.0)] == 1
    assert found.zones[HEIGHTS.index(80.0)] == 2


@pytest.mark.parametrize("carina_mm", [None, 190.0, 160.0, 60.0, -20.0])
@pytest.mark.parametrize(("has_volumes", "rule"), [(True, ZoneRule.VOLUME_THIRDS), (False, ZoneRule.AREA_THIRDS)])
def test_without_a_carina_in_the_middle_part_lungs_are_cut_into_thirds_which_is_said(
    carina_mm: float | None, has_volumes: bool, rule: ZoneRule
) -> None:
    found = cut(carina_mm, has_volumes=has_volumes)
    assert (found.rule, found.carina_mm) == (rule, None)
    assert set(found.zones) == {0, 1, 2}
    assert ("volume" in found.words) == has_volumes
    assert "carina was not found" in found.words


def test_without_lung_there_is_no_landmark() -> None:
    assert cut_zones([10.0, 0.0], [0, 0], carina_mm=5.0, vein_share=0.4, has_volumes=True).zones == (0, 0)


@given(st.floats(0, 1), st.floats(100, 160))
def test_zones_fall_from_head_to_feet_whatever_the_cuts(vein_share: float, carina_mm: float) -> None:
    zones = cut(carina_mm, vein_share=vein_share).zones
    assert list(zones) == sorted(zones)


def test_the_rule_reaches_the_shares() -> None:
    normal, diseased = [[0, 0]], [[2, 2]]
    sections = [section(n, diseased if n < 3 else normal, normal, height_mm=-10.0 * n) for n in range(10)]
    by_carina, by_thirds = extent_of(sections, carina_mm=-25.0), extent_of(sections)
    assert by_carina.zoning.rule is ZoneRule.CARINA
    assert by_carina.percent(2, zone=0, side=0) == 100
    assert by_carina.percent(2, zone=1) == 0
    assert by_thirds.zoning.rule is ZoneRule.VOLUME_THIRDS
    assert by_thirds.percent(2, zone=0, side=0) == pytest.approx(100)
    assert chest(12).zoning.rule is ZoneRule.VOLUME_THIRDS
