# make demo [INPUT=FILE|WEBCAM]   a video becomes skeletons: pictures and numbers in demo/
# make demo VIEW=1 [INPUT=...]    the same live, in a browser
# make test [ARGS=...]            the tests, with pytest's arguments
# make lint | colcon | clean      style and types | build and test with colcon | delete all made
# PYTHON=python3.12 chooses the interpreter for .venv, made by the first call.

PYTHON ?= python3
INPUT ?=
VIEW ?=
ARGS ?=
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
COLCON := build/colcon

# What is installed anew, in five seconds, when it has changed: make itself takes the modules from
# the tree, but who calls .venv/bin/pandapose after a git pull gets the installed ones.
BUILT := setup.py pyproject.toml package.xml CMakeLists.txt \
  $(wildcard cmake/* cmake/*/* msg/* config/* config/*/* launch/*.py pandapose_ros/*.py \
  pandapose_ros/*/*.py pandapose_ros/weights/*)

# What an interrupted installation left behind, or is of another folder, may look whole.
$(shell scripts/install.sh discard)

export PYTHON
unexport PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH
# The wheels hold Fast DDS only, and nobody else's server is asked who is there.
unexport RMW_IMPLEMENTATION ROS_DISCOVERY_SERVER
# No traffic leaves the machine, images fit into shared memory, idle threads sleep.
ROS_ENV := ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST OMP_WAIT_POLICY=PASSIVE \
  FASTRTPS_DEFAULT_PROFILES_FILE="$(CURDIR)/config/fastdds.xml" \
  AMENT_PREFIX_PATH="$(CURDIR)/$(VENV)" PATH="$(BIN):$$PATH"
RUN := PYTHONPATH="$(CURDIR)" $(ROS_ENV)

.PHONY: demo test lint colcon clean
.DELETE_ON_ERROR:
# All steps install into the same .venv, and MAKEFLAGS=-j may be in the environment.
.NOTPARALLEL:

demo: $(VENV)/models.stamp $(if $(VIEW),$(VENV)/view.stamp)
	@$(RUN) pandapose demo $(if $(INPUT),"$(INPUT)") $(if $(VIEW),--view)

# A domain of its own keeps a robot's or another run's topics out; one thread a process keeps the
# many processes of the tests from waiting for each other. Of the whole suite two files run at a
# time, as tests of nodes mostly wait; the tests of a file share what takes long to make.
test: $(VENV)/models.stamp $(VENV)/dev.stamp
	@ROS_DOMAIN_ID=$${ROS_DOMAIN_ID:-$$((1 + $$$$ % 100))} ROS_PYTHON_CHECK_FIELDS=1 \
	  OMP_NUM_THREADS=1 \
	  $(RUN) pytest $(or $(ARGS),--durations=10 -n 2 --dist loadfile --no-loadscope-reorder)

lint: $(VENV)/package.stamp $(VENV)/dev.stamp
	"$(BIN)/ruff" check
	"$(BIN)/ruff" format --check
	PATH="$(BIN):$$PATH" pyright

# In folders of its own, with the ROS 2 of .venv. The option is only for the wheels.
colcon: $(VENV)/models.stamp $(VENV)/dev.stamp
	$(ROS_ENV) CMAKE_PREFIX_PATH="$(CURDIR)/$(VENV)" colcon --log-base $(COLCON)/log build \
	  --build-base $(COLCON)/build --install-base $(COLCON)/install $(COLCON_ARGS) \
	  --cmake-args "-DCMAKE_PROJECT_INCLUDE=$(CURDIR)/cmake/pypi_wheels.cmake"
	$(ROS_ENV) CMAKE_PREFIX_PATH="$(CURDIR)/$(VENV)" colcon --log-base $(COLCON)/log test \
	  --build-base $(COLCON)/build --install-base $(COLCON)/install \
	  --event-handlers console_direct+ --return-code-on-test-failure
	"$(BIN)/colcon" test-result --test-result-base $(COLCON)/build --verbose

clean:
	rm -rf build demo $(VENV)

# A stamp is written when its step has succeeded.
$(VENV)/run.stamp: requirements.txt requirements-python.txt requirements-build.txt
	@scripts/install.sh packages $^ && touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements-view.txt requirements-train.txt | $(VENV)/run.stamp
	@scripts/install.sh packages $^ && touch $@

$(VENV)/view.stamp: requirements-view.txt | $(VENV)/run.stamp
	@scripts/install.sh packages $^ && touch $@

$(VENV)/package.stamp: $(VENV)/run.stamp $(BUILT)
	@scripts/install.sh package && touch $@

$(VENV)/models.stamp: $(VENV)/package.stamp
	@$(RUN) pandapose fetch-models && touch $@
