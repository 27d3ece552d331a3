#!/usr/bin/env bash
# Sets up .venv for the Makefile: install.sh packages REQUIREMENTS... | package | discard
# PYTHON names the interpreter to make it from. Says what is wrong in one line; everything else
# that the programs print is in build/install.log.
set -euo pipefail
cd "$(dirname "$0")/.."
# A sourced ROS 2 would be found before the one in .venv.
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH PYTHONHOME
python=${PYTHON:-python3}
log=build/install.log
# Holds the id of the process that installs packages; of no process if that was interrupted.
unfinished=build/unfinished

fail() {
  echo "error: $*" >&2
  exit 1
}

installer_runs() {
  [ -e $unfinished ] && kill -0 "$(cat $unfinished)" 2>/dev/null
}

# Nothing in .venv starts if its Python is gone, or if this folder has been renamed since.
is_stranded() {
  local interpreter
  interpreter=$(sed -nE "1s/^#!(.*python[0-9.]*)$/\1/p
                         2s/^'''exec' \"?([^\"]*)\"? \"\\\$0\".*/\1/p" .venv/bin/pip 2>/dev/null) &&
    [ -n "$interpreter" ] && [ ! -x "$interpreter" ]
}

check_system() {
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "ROS 2 wheels exist for Linux on x86_64 only, this is $(uname -sm): on a machine with" \
      "ROS 2, use colcon build"
  command -v "$python" >/dev/null ||
    fail "no $python found: sudo apt-get install python3 python3-dev python3-venv"
  local version
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  case $version in
    3.10 | 3.11 | 3.12 | 3.13) ;;
    *) fail "$python is Python $version, expected 3.10 to 3.13: install one (sudo apt-get install" \
      "python3.12-dev python3.12-venv) and name it: make PYTHON=python3.12 ..." ;;
  esac
  local missing=()
  command -v "${CXX:-g++}" >/dev/null ||
    missing+=("no C++ compiler (${CXX:-g++}): sudo apt-get install g++")
  "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_config_var("INCLUDEPY"), "Python.h")))' ||
    missing+=("no Python headers (Python.h): sudo apt-get install python$version-dev")
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    missing+=("no Python module venv: sudo apt-get install python$version-venv")
  [ ${#missing[@]} -eq 0 ] || {
    printf 'error: %s\n' "${missing[@]}" >&2
    exit 1
  }
}

# Keeps all that pip prints, and shows what takes long.
run_pip() {
  .venv/bin/python -m pip "$@" --no-input --disable-pip-version-check 2>&1 | tee -a $log |
    sed -unE 's/^ *(Downloading|Using cached) ([^ ]*)[^(]*\(([0-9]{2,}[0-9.]* [MG]B).*/  \2 (\3)/p
              s/^(Installing collected packages|Building wheels).*/  \1/p'
}

install_packages() {
  ! installer_runs || fail "another make is installing packages: wait for it"
  echo $$ >$unfinished
  .venv/bin/python -m pip --version >/dev/null 2>&1 ||
    "$python" -m venv --clear .venv >>$log 2>&1 || fail "$python -m venv failed, see $log"
  echo "Installing packages into .venv (minutes, once; log: $log)"
  local arguments=() file
  for file in "$@"; do arguments+=(-r "$file"); done
  local status=0
  run_pip install "${arguments[@]}" || status=$?
  rm $unfinished
  [ $status -ne 0 ] || return 0
  if grep -qE 'connection broken|Max retries|Name or service|Temporary failure|timed out' $log; then
    fail "the Python packages cannot be downloaded: is there a network, and does it reach the" \
      "package index? (log: $log)"
  fi
  fail "pip: $(grep -m1 '^ERROR' $log || echo 'no reason given') (log: $log)"
}

install_package() {
  echo "Building the messages and installing pandapose_ros (a minute; log: $log)"
  run_pip install --no-build-isolation --no-deps . ||
    fail "the build failed: $(grep -m1 -iE 'CMake Error|error:' $log || echo 'no reason given')" \
      "(log: $log)"
}

mkdir -p build
case ${1-} in
  packages)
    check_system
    : >$log
    install_packages "${@:2}"
    ;;
  package)
    check_system
    : >$log
    install_package
    ;;
  discard)
    installer_runs || { [ ! -e $unfinished ] && ! is_stranded; } || rm -rf .venv $unfinished
    ;;
  *) fail "expected packages, package or discard, got '${1-}'" ;;
esac
