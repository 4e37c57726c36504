"""O*NET 27.0 text -> items (job titles), members (sets of tasks), graded relevance.

Everything here is deterministic: rows are sorted before use and every random choice comes from
the generator that the caller passes in.
"""

import csv
import gzip
import io
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The 2-digit major groups of the 2018 Standard Occupational Classification.
MAJOR_GROUPS = {
    "11": "Management",
    "13": "Business and Financial Operations",
    "15": "Computer and Mathematical",
    "17": "Architecture and Engineering",
    "19": "Life, Physical, and Social Science",
    "21": "Community and Social Service",
    "23": "Legal",
    "25": "Educational Instruction and Library",
    "27": "Arts, Design, Entertainment, Sports, and Media",
    "29": "Healthcare Practitioners and Technical",
    "31": "Healthcare Support",
    "33": "Protective Service",
    "35": "Food Preparation and Serving Related",
    "37": "Building and Grounds Cleaning and Maintenance",
    "39": "Personal Care and Service",
    "41": "Sales and Related",
    "43": "Office and Administrative Support",
    "45": "Farming, Fishing, and Forestry",
    "47": "Construction and Extraction",
    "49": "Installation, Maintenance, and Repair",
    "51": "Production",
    "53": "Transportation and Material Moving",
    "55": "Military Specific",
}

SAME, RELATED = 2, 1  # grades of relevance
TASKS_PER_MEMBER = (2, 5)  # inclusive
HELD_OUT_SHARE = 0.2  # of an occupation's tasks, for learn and for test each


@dataclass
class Item:
    """One distinct job title and what O*NET says of its occupations."""

    title: str
    occupations: list[str]
    major_groups: list[str]
    job_zone: int | None
    hot_technologies: list[str]
    words: list[str]


@dataclass
class Onet:
    """The parsed text. Lists of titles are item rows, lists of tasks are rows of `tasks`."""

    items: list[Item]
    occupation_title: dict[str, str]
    tasks: list[str]  # distinct statements, as written
    occupation_tasks: dict[str, list[int]]  # only occupations that have tasks
    occupation_items: dict[str, list[int]]
    related: dict[str, list[str]]  # Primary-Short and Primary-Long, as directed by O*NET


@dataclass
class Member:
    """A set of tasks of one occupation."""

    occupation: str
    tasks: list[int]


def words(text: str) -> list[str]:
    """Lower-case words: letters and digits, with an inner apostrophe kept ("driver's")."""
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text.lower())


def title_key(title: str) -> str:
    """Two titles are the same item when they differ in case and white space only."""
    return " ".join(title.split()).casefold()


def task_key(task: str) -> str:
    """Two tasks are the same when their words are: O*NET repeats some across occupations."""
    return " ".join(words(task))


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(folder / f"{name}.txt.gz", "rb") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        return list(csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE))


def read(folder: Path) -> Onet:
    """Reads the gzip, tab-separated O*NET tables in `folder`."""
    code = "O*NET-SOC Code"
    display, members_of = {}, defaultdict(set)
    for table, column in (
        ("alternate_titles", "Alternate Title"),
        ("sample_of_reported_titles", "Reported Job Title"),
    ):
        for row in _rows(folder, table):
            key = title_key(row[column])
            display.setdefault(key, " ".join(row[column].split()))
            members_of[key].add(row[code])
    zone = {row[code]: int(row["Job Zone"]) for row in _rows(folder, "job_zones")}
    hot = defaultdict(set)
    for row in _rows(folder, "technology_skills"):
        if row["Hot Technology"] == "Y":
            hot[row[code]].add(row["Example"])

    items, occupation_items = [], defaultdict(list)
    for key in sorted(display):
        occupations = sorted(members_of[key])
        for occupation in occupations:
            occupation_items[occupation].append(len(items))
        items.append(
            Item(
                title=display[key],
                occupations=occupations,
                major_groups=sorted({f"{o[:2]} {MAJOR_GROUPS[o[:2]]}" for o in occupations}),
                job_zone=_most_common([zone[o] for o in occupations if o in zone]),
                hot_technologies=sorted(set().union(*(hot[o] for o in occupations))),
                words=list(dict.fromkeys(words(display[key]))),
            )
        )

    texts, row_of, occupation_tasks = [], {}, defaultdict(list)
    for row in sorted(_rows(folder, "task_statements"), key=lambda r: (r[code], int(r["Task ID"]))):
        key = task_key(row["Task"])
        if key not in row_of:
            row_of[key] = len(texts)
            texts.append(" ".join(row["Task"].split()))
        if row_of[key] not in occupation_tasks[row[code]]:
            occupation_tasks[row[code]].append(row_of[key])
    related = defaultdict(list)
    for row in _rows(folder, "related_occupations"):
        if row["Relatedness Tier"] in ("Primary-Short", "Primary-Long"):
            related[row[code]].append(row["Related O*NET-SOC Code"])
    names = {row[code]: row["Title"] for row in _rows(folder, "occupation_data")}
    return Onet(
        items, names, texts, dict(occupation_tasks), dict(occupation_items), dict(related)
    )


def _most_common(zones: list[int]) -> int | None:
    """The zone most of a title's occupations share, the lower one on a tie."""
    counts = Counter(zones)
    return min(counts, key=lambda z: (-counts[z], z)) if counts else None


def split_tasks(onet: Onet, rng: np.random.Generator) -> dict[str, set[int]]:
    """Parts every distinct task among train, learn and test, a fifth per occupation for the
    latter two. A task that several occupations share goes to one part for all of them."""
    part = {}
    for name in ("test", "learn"):
        for occupation in sorted(onet.occupation_tasks):
            tasks = onet.occupation_tasks[occupation]
            quota = max(2, round(HELD_OUT_SHARE * len(tasks)))
            have = sum(part.get(t) == name for t in tasks)
            free = [t for t in tasks if t not in part]
            # At least as many stay for training as are taken here.
            take = max(0, min(quota - have, len(free) // 2))
            for task in rng.permutation(free)[:take]:
                part[int(task)] = name
    split = {"train": set(), "learn": set(), "test": set()}
    for task in range(len(onet.tasks)):
        split[part.get(task, "train")].add(task)
    return split


def pools(onet: Onet, tasks: set[int], least: int) -> dict[str, list[int]]:
    """Per occupation the tasks of one part, where there are at least so many."""
    pool = {o: [t for t in ts if t in tasks] for o, ts in sorted(onet.occupation_tasks.items())}
    return {o: ts for o, ts in pool.items() if len(ts) >= least}


def draw_members(
    pool: dict[str, list[int]], count: int, rng: np.random.Generator
) -> list[Member]:
    """`count` distinct members in random order, as even over the occupations as they allow."""
    seen, members = set(), []
    while len(members) < count:
        before = len(members)
        for occupation in rng.permutation(sorted(pool)):
            tasks = pool[str(occupation)]
            size = int(rng.integers(TASKS_PER_MEMBER[0], TASKS_PER_MEMBER[1] + 1))
            chosen = sorted(int(t) for t in rng.permutation(tasks)[:size])
            if (str(occupation), tuple(chosen)) not in seen:
                seen.add((str(occupation), tuple(chosen)))
                members.append(Member(str(occupation), chosen))
        if len(members) == before:
            raise ValueError(f"the tasks allow {before} distinct members, {count} were asked for")
    members = members[:count]
    return [members[i] for i in rng.permutation(count)]


def grades(onet: Onet, occupation: str) -> np.ndarray:
    """The grade of every item, shape [n] u8, for members of `occupation`."""
    grade = np.zeros(len(onet.items), np.uint8)
    for other in onet.related.get(occupation, []):
        grade[onet.occupation_items[other]] = RELATED
    grade[onet.occupation_items[occupation]] = SAME
    return grade
