"""Reads a config, and lists the runs that it asks for."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from keras_msda import _errors
from keras_msda.experiments import _methods, _rules
from keras_msda.experiments._rules import KEYS, REQUIRED, Key

#: The keys of which each combination is a group of runs.
GROUPS = ("data", "network", "train_images", "wrong_labels")
# Longest side of the images of a check, if the config gives a side.
_CHECKED_SIDE = 64
#: What does not influence a run.
_WORDS = ("title", "published", "methods", "seeds", "recommend")


class Group(NamedTuple):
    """What the rows of one table have in common."""

    data: str
    network: str
    train_images: int | None
    wrong_labels: float

    def __str__(self) -> str:
        """Returns it in words."""
        count = "all" if self.train_images is None else f"{self.train_images:,}"
        words = f"{self.data}, {self.network}, {count} training images"
        wrong = f", {self.wrong_labels:.0%} of the labels wrong"
        return words + (wrong if self.wrong_labels else "")


class Run(NamedTuple):
    """One training of one network.

    Attributes:
        group: Data, network, number of images and share of wrong labels.
        row: Name of the method's row.
        method: Its name and options.
        seed: Of subset, wrong labels, weights, order and draws.
        settings: All else that influences the run.
    """

    group: Group
    row: str
    method: Mapping[str, Any]
    seed: int
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        """Returns in words which run it is."""
        return f"{self.row}, seed {self.seed} ({self.group})"


class Config(NamedTuple):
    """What a config asks for.

    Attributes:
        path: The file.
        title: Headline of the tables.
        groups: What each table is about.
        methods: Options by row.
        seeds: The seeds, each of which every row has.
        settings: All else that influences a run.
        recommend: Whether runs without mixing also measure their gradients.
        published: Source and rows of published accuracies, or None.
    """

    path: Path
    title: str
    groups: tuple[Group, ...]
    methods: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    recommend: bool
    published: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """Name of the output files, without their suffixes."""
        return self.path.stem

    def list_runs(self) -> list[Run]:
        """Returns all runs, those of one group and seed together."""
        cases = itertools.product(self.groups, self.seeds, self.methods.items())
        return [
            Run(group, row, method, seed, self._settings_of(method))
            for group, seed, (row, method) in cases
        ]

    def _settings_of(self, method: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the settings of a run, of which one is for those without mixing."""
        asked = self.recommend and method["method"] == "none"
        return {**self.settings, "recommend": asked}


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses duplicate keys."""


def _read_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for number, key in enumerate(keys):
        if key in keys[:number]:
            line = node.value[number][0].start_mark.line + 1
            _errors.fail_file(f"line {line}: the key {key!r} is there twice.")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _read_mapping)


def read_config(path: Path) -> Config:
    """Reads a config and checks all of it.

    Args:
        path: A YAML file.

    Returns:
        What it asks for, with defaults filled in.

    Raises:
        ValueError: If something in it is wrong; in one line with file and key.
        OSError: If it cannot be read.
    """
    given = _load(path)
    _rules.check_keys(str(path), given, KEYS)
    values = {name: _read(path, name, given, key) for name, key in KEYS.items()}
    if values["warmup_epochs"] > values["epochs"]:
        place = f"{path}: warmup_epochs"
        _rules.fail_key(
            place,
            f"must be at most the {values['epochs']} epochs",
            values["warmup_epochs"],
        )
    methods = _methods.read_methods(f"{path}: methods", values["methods"])
    values["scores"] = _read_scores(path, values["scores"])
    _check_recommend(path, values["recommend"], methods)
    return Config(
        path=path,
        title=values["title"],
        groups=tuple(
            Group(*case) for case in itertools.product(*(values[key] for key in GROUPS))
        ),
        methods=methods,
        seeds=values["seeds"],
        settings={k: v for k, v in values.items() if k not in (*GROUPS, *_WORDS)},
        recommend=values["recommend"],
        published=_read_published(path, values["published"], methods),
    )


def _load(path: Path) -> Mapping[Any, Any]:
    """Returns the mapping that the file holds."""
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        _errors.fail_file(f"{path} is not valid YAML: {words}", cause=error)
    except ValueError as error:  # Not UTF-8, or a duplicate key.
        _errors.fail_file(f"{path}: {error}", cause=error)
    if not isinstance(given, Mapping):
        _rules.fail_key(str(path), "must be a mapping of keys", given)
    return given


def _read(path: Path, name: str, given: Mapping[Any, Any], key: Key) -> Any:
    """Returns the value of a key, or its default."""
    if name in given:
        if given[name] is None and key.default is None:
            return (None,) if key.several != "no" else None
        return _rules.read_value(f"{path}: {name}", given[name], key)
    if key.default is REQUIRED:
        _errors.fail_file(f"{path}: {name}: is required. Received: no such key.")
    alone = key.several == "may"
    return (key.default,) if alone else key.default


def _read_scores(path: Path, given: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns the levels of each robustness score; none for one left out."""
    place = f"{path}: scores"
    _rules.check_keys(place, given, _rules.SCORES)
    levels = {
        name: _rules.read_value(
            f"{place}: {name}", _as_list(given[name]), Key(rule, several="must")
        )
        for name, rule in _rules.SCORES.items()
        if name in given
    }
    return {name: tuple(sorted(values)) for name, values in levels.items()}


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _read_published(
    path: Path, given: Mapping[str, Any] | None, methods: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Returns source and rows of published numbers."""
    if given is None:
        return None
    place = f"{path}: published"
    _rules.check_keys(place, given, ("source", "rows"))
    if not isinstance(given.get("source"), str):
        _rules.fail_key(f"{place}: source", "must be text", given.get("source"))
    rows = given.get("rows")
    if not isinstance(rows, Mapping) or not rows:
        _rules.fail_key(f"{place}: rows", "must be a mapping of rows", rows)
    _rules.check_keys(f"{place}: rows", rows, methods)
    for row, value in rows.items():
        if not (_rules.is_number(value) and 0 <= value <= 100):
            rule = "must be an accuracy in per cent"
            _rules.fail_key(f"{place}: rows: {row}", rule, value)
    return given


def _check_recommend(
    path: Path, recommend: bool, methods: Mapping[str, Mapping[str, Any]]
) -> None:
    """Checks that there are runs whose gradients can be measured."""
    plain = any(method["method"] == "none" for method in methods.values())
    if recommend and not plain:
        _rules.fail_key(f"{path}: recommend", "needs a row of `none`", list(methods))


def check_rows(config: Config, rows: Sequence[str]) -> tuple[str, ...]:
    """Returns the rows to do, all of them if none are named.

    Args:
        config: The config.
        rows: Their names.

    Raises:
        ValueError: If the config has no such row.
    """
    for row in rows:
        if row not in config.methods:
            remedy = _rules.nearest(row, config.methods)
            _rules.fail_key(f"{config.path}: --row", "unknown row", row, remedy)
    return tuple(rows or config.methods)


def shrink(config: Config, *, train: int = 100, test: int = 20) -> Config:
    """Returns a config that does each row of each network once, on few images.

    Large images become smaller.

    Args:
        config: The config.
        train: Number of training images, at least one per class of CIFAR-100.
        test: Number of test images.
    """
    kinds: dict[Sequence[str], Group] = {}
    for group in config.groups:  # The last one, which has most that is unusual.
        kinds[group.data, group.network] = group
    small = {"epochs": 1, "warmup_epochs": 0, "test_images": test}
    small |= {"batch_size": min(config.settings["batch_size"], train // 2)}
    if config.settings["image_size"]:
        small |= {"image_size": min(config.settings["image_size"], _CHECKED_SIDE)}
    return config._replace(
        groups=tuple(
            group._replace(train_images=min(group.train_images or train, train))
            for group in kinds.values()
        ),
        seeds=config.seeds[:1],
        settings={**config.settings, **small},
    )
