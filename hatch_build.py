"""Ships `protocol/`, the examples and the built TypeScript client inside the wheel, below heartline/, and compiles.

A hook rather than lines in pyproject.toml, because an editable install would get copies too: a second,
incomplete `heartline` that type checkers find first. The client is shipped where js/dist has it: `heartline demo` says
what is missing where it has not.

With HEARTLINE_COMPILE=1 the modules named in pyproject.toml are compiled as well (mypyc), for the interpreter that builds.
The sources go into the wheel all the same: one source, and HEARTLINE_PURE=1 runs it uncompiled.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CLIENT = "js/dist/esm"
EXAMPLES = ("*.py", "*/*.py", "*/page/**/*", "gallery/**/*")
COMPILE = """
import sys
from pathlib import Path

import picows
from Cython.Build import cythonize
from mypyc.build import include_dir, mypycify
from setuptools import setup

there = sys.argv.index("--")
folder = Path(picows.__file__).parent
links = cythonize(sys.argv[there + 1 :], include_path=[str(folder.parent)], language_level=3, quiet=True,
                  build_dir="c", compiler_directives={"annotation_typing": False})
for link in links:
    link.include_dirs.append(str(folder))
options = ["--config-file=", "--strict", "--no-warn-unused-ignores", "--explicit-package-bases"]
modules = mypycify([*options, *sys.argv[1:there]], group_name="heartline", target_dir="c", debug_level="0")
runtime = Path(include_dir(), "misc_ops.c").read_text()
for theirs, ours in (
    # Its coroutines hand on what is thrown into them with three arguments, of which Python 3.12 and later warn.
    ("Args(_m, type, value, traceback, NULL)", "Args(_m, value, NULL)"),
    # They await Python's by `__await__`, whose end is an exception: let them await the coroutine itself, as Python does.
    ("*CPy_GetCoro(PyObject *obj)\\n{", "*CPy_GetCoro(PyObject *obj)\\n{ if (PyCoro_CheckExact(obj)) return Py_NewRef(obj);"),
):
    runtime = runtime.replace(theirs, ours)
Path("runtime").mkdir()
Path("runtime", "misc_ops.c").write_text(runtime)
for module in modules:
    module.include_dirs.insert(0, "runtime")
    if sys.platform != "win32":  # nobody else calls its thousands of functions; naming them costs time at every start
        module.extra_compile_args.append("-fvisibility=hidden")
setup(name="heartline", packages=[], ext_modules=[*links, *modules], script_args=["-q", "build_ext", "--build-lib=lib"])
"""
PROBE = "#include <Python.h>\n#include <stdio.h>\nPyObject *PyInit_probe(void) { return PyLong_FromLong(BUFSIZ); }\n"
NEEDED = """compiling heartline needs a C compiler, the headers of the C library and those of Python {version}; Debian has them as

    apt-get install gcc libc6-dev python{version}-dev

Without HEARTLINE_COMPILE heartline is installed uncompiled. This is what was tried:
{tried}"""


class ShippedHook(BuildHookInterface[Any]):
    """Adds them to real wheels, not to editable ones."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version != "standard":
            return
        include, root = build_data["force_include"], Path(self.root)
        include["protocol"] = "heartline/protocol"
        for pattern in EXAMPLES:
            for file in sorted((root / "examples").glob(pattern)):
                if file.is_file() and "__pycache__" not in file.parts:
                    name = file.relative_to(root).as_posix()
                    include[name] = f"heartline/{name}"
        for file in sorted((root / CLIENT).glob("*.js")):
            include[file.relative_to(root).as_posix()] = f"heartline/examples/client/{file.name}"
        if compiling():
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            self._folder = tempfile.mkdtemp(prefix="heartline-compile-")
            for file in compiled(root / "src", self.config, Path(self._folder)):
                include[str(file)] = file.relative_to(Path(self._folder, "lib")).as_posix()

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when it has built."""
        if version == "standard" and compiling():
            shutil.rmtree(self._folder)

    def dependencies(self) -> list[str]:
        """What an isolated build needs besides: what compiles, and the types of what is imported."""
        return [*self.config["compilers"], *self.metadata.core.dependencies] if compiling() else []


def compiling() -> bool:
    """Whether the wheel is to be one of this interpreter and machine."""
    return os.environ.get("HEARTLINE_COMPILE", "") not in ("", "0")


def modules(source: Path, config: dict[str, Any]) -> list[str]:
    """The files to compile, relative to `source`."""
    package = source / "heartline"
    chosen = {file for pattern in config["compiled"] for file in package.glob(pattern)}
    chosen -= {file for pattern in config["interpreted"] for file in package.glob(pattern)}
    return sorted(file.relative_to(source).as_posix() for file in chosen)


def cythonized(config: dict[str, Any]) -> list[str]:
    """The same for Cython."""
    return [f"heartline/{file}" for file in config["cythonized"]]


def compiled(source: Path, config: dict[str, Any], folder: Path) -> list[Path]:
    """Compile in `folder`; the libraries, below folder/lib, each where it belongs in the wheel."""
    try_compiler(folder)
    shutil.copytree(source / "heartline", folder / "heartline")
    command = [sys.executable, "-c", COMPILE, *modules(source, config), "--", *cythonized(config)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"compiling heartline failed; without HEARTLINE_COMPILE it need not be compiled:\n{done.stdout}")
    return sorted(path for path in (folder / "lib").rglob("*") if path.is_file())


def try_compiler(folder: Path) -> None:
    """Compile next to nothing, so that what is missing is told in a sentence, before the minute that all of it takes."""
    if sys.platform == "win32":
        return  # setuptools knows where it is
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    includes = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    (folder / "probe.c").write_text(PROBE)
    command = [*compiler, *includes, "-fPIC", "-c", "probe.c", "-o", "probe.o"]
    try:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        done = subprocess.CompletedProcess(command, 127, str(error))
    if done.returncode:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.exit(NEEDED.format(version=version, tried=f"{shlex.join(command)}\n{done.stdout}"))
