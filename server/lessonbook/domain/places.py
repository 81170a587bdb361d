"""Paths as they are kept: relative to the repository where its root shows, and without the names of users."""

from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern

_NAME: Final = r"[^\s/\\:*?\"'<>|$%{}()]+"
_SEP: Final = r"(?:/|\\{1,2})"
_START: Final = r"(?:(?<![\w.~/\\-])|(?<=file://)|(?<=-[IL]))"
_BUILD_ROOTS: Final = (
    "(?:/(?:home|Users)/runner/work|/__w|DRIVE/a)/(?P<repo#>NAME)/(?P=repo#)/",
    "/github/workspace/",
    r"(?:DRIVE/GitLab-Runner)?/builds/(?:[\w-]{8,12}/\d{1,3}/)?NAME/NAME/",
    "/(?:home|Users)/(?:circleci|distiller)/(?:project|repo)/",
    "/home/travis/build/NAME/NAME/",
    r"(?:/home/vsts/work|DRIVE/a|(?:DRIVE)?/(?:NAME/){0,4}_work)/\d{1,4}/s/",
    "(?:DRIVE)?/(?:NAME/){0,6}jobs/(?P<job#>JOB)/workspace/(?:(?P=job#)/)?",
    "(?:DRIVE)?/(?:NAME/){0,4}[Jj]enkins(?:_home)?/workspace/JOB/",
    "/opt/atlassian/pipelines/agent/build/",
    "/(?:bitrise|drone)/src/",
    "/workspaces/NAME/",
    r"/go/src/(?:github|gitlab)\.com/NAME/NAME/",
)
"""Folders in which services build a repository. `NAME` is a folder, `JOB` one whose name may have blanks."""
_WORDS: Final = (("/", _SEP), ("NAME", _NAME), ("JOB", r"[^/\\:\n]{1,100}"), ("DRIVE", "[A-Za-z]:"))


def _spelled_out(root: str, number: int) -> str:
    for word, pattern in _WORDS:
        root = root.replace(word, pattern)
    return root.replace("#", str(number))


_BUILD_ROOT: Final = "|".join(_spelled_out(root, number) for number, root in enumerate(_BUILD_ROOTS))
_IN_TEXT: Final = lazy_pattern(f"{_START}(?:{_BUILD_ROOT})(?=\\w)")
_MOUNTED: Final = r"/(?:usr/src/app|workspace)/"
"""Folders of containers that are the repository's; only of a path alone, as words name them as addresses."""
_VARIABLE: Final = (
    r"(?:%\w*(?:ROOT|WORKSPACE)\w*%|\$\(\w*(?:ROOT|WORKSPACE)\w*\)|\$\{?(?:workspaceFolder|\w*WORKSPACE|\w*ROOT)\}?)/"
)
_ROOT: Final = lazy_pattern(rf"\A(?:file://)?(?:{_BUILD_ROOT}|{_MOUNTED}|{_VARIABLE})(?=[^/])")
_HOME: Final = lazy_pattern(
    rf"{_START}(?:(?:/mnt/[a-z])?{_SEP}(?:home|Users)|[A-Za-z]:{_SEP}(?:Users|Documents and Settings)){_SEP}"
    rf"(?!(?:Shared|Public|Default){_SEP}){_NAME}(?={_SEP}[\w.-])"
)
_ABSOLUTE: Final = lazy_pattern(r"\A(?:/|~/|[A-Za-z]:/)")
_TOP_FOLDERS: Final = words(
    "src source sources lib libs app apps test tests spec specs packages pkg cmd internal server client"
    " backend frontend api web docs scripts migrations bin config include modules services tools examples roles"
    " playbooks .github"
)
"""Folders that stand at the top of a repository."""


def without_users(text: str) -> str:
    """Return a text in which homes of users are `~`, and folders of build services are left out of paths."""
    if "/" not in text and "\\" not in text:
        return text
    return _HOME.sub("~", _IN_TEXT.sub("", text))


@lru_cache(maxsize=4_096)  # the findings of a file follow each other
def repository_path(path: str) -> str:
    """Return a path with slashes relative to its repository, if its beginning shows the root; no user is named."""
    return _HOME.sub("~", _ROOT.sub("", path, count=1))


def is_absolute(path: str) -> bool:
    """Return whether a path begins at a root, a drive or a home."""
    return _ABSOLUTE.match(path) is not None


class CommonRoot:
    """The root that all absolute paths of a report share; found once all were added."""

    def __init__(self) -> None:
        self._shared: tuple[str, ...] | None = None
        self._deepest: set[tuple[str, ...]] = set()

    def add(self, path: str) -> None:
        """Take one absolute path into account."""
        folders = PurePosixPath(path).parts[:-1]
        if self._shared is None:
            self._shared = folders
        elif folders[: len(self._shared)] != self._shared:
            same = zip(self._shared, folders, strict=False)
            count = next((place for place, (one, other) in enumerate(same) if one != other), None)
            self._shared = self._shared[: min(len(self._shared), len(folders)) if count is None else count]
        if len(self._deepest) < 2:  # noqa: PLR2004  # whether there is another is all that counts
            self._deepest.add(folders)

    def root(self) -> str:
        """Return the root with a slash behind it; empty where the paths do not show one.

        It ends before the first folder that stands at the top of repositories (`src`); else it is the folder in which
        the paths part, if they do.
        """
        shared = self._shared or ()
        cut = next((place for place, folder in enumerate(shared) if place > 1 and folder in _TOP_FOLDERS), None)
        if cut is None and len(self._deepest) > 1:
            cut = len(shared)
        root = "/".join(part.rstrip("/") for part in shared[:cut]) if cut else ""
        return f"{root}/" if root.strip("~/") else ""
