from lightning_avsp.demo.evaluate import by_condition
from lightning_avsp.demo.table import as_markdown, table_rows


def row(
    seed: int, condition: str, cc: float | None, audio: str | None = "true", steps: int | None = 4
) -> dict:
    return {
        "model": "m",
        "seed": seed,
        "audio": audio,
        "steps": steps,
        "condition": condition,
        "cc": cc,
        "nss": 2.0,
    }


def test_one_seed_shows_no_spread_and_several_do() -> None:
    assert table_rows([row(0, "music", 0.5)]) == [("m", "its own", "4", "-", "0.500 / 2.00", "-")]
    rows = [row(0, "music", 0.5), row(1, "music", 0.7)]
    assert table_rows(rows)[0][4] == "0.600 ± 0.141 / 2.00 ± 0.00"


def test_sounds_and_steps_have_lines_of_their_own() -> None:
    rows = [row(0, "music", 0.5), row(0, "music", 0.4, audio="other_video"), row(0, "music", 0.3, None, None)]
    assert [line[1:3] for line in table_rows(rows)] == [
        ("its own", "4"),
        ("another video's", "4"),
        ("-", "-"),
    ]


def test_markdown_has_a_line_per_group() -> None:
    lines = as_markdown([row(0, "sound decides", 0.5)]).splitlines()
    assert lines[0].startswith("| model |")
    assert lines[2] == "| m | its own | 4 | 0.500 / 2.00 | - | - |"


def test_videos_are_grouped_by_their_names_and_missing_values_left_out() -> None:
    nan = float("nan")
    videos = [
        {"video": "V1_Sound", "cc": 0.2, "nss": 1.0},
        {"video": "V2_Sound", "cc": nan, "nss": 3.0},
        {"video": "V3_Music", "cc": 0.9, "nss": 4.0},
    ]
    rows = {r["condition"]: r for r in by_condition(videos)}
    assert rows["sound decides"] == {"condition": "sound decides", "cc": 0.2, "nss": 2.0, "videos": 2}
    assert rows["music"]["cc"] == 0.9
    assert rows["silent"]["videos"] == 0
    assert rows["silent"]["cc"] != rows["silent"]["cc"]
