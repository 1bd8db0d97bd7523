#!/bin/sh
# Trains on several cores: train.sh CORES --work W --head GGML --seconds S ... (all of train.py's)
#
# One worker for each core, of one thread: XLA gains little from a second one with matrices as small as these.
# The working memory of a step is 100 MB; glibc would give it back and fault it in again at each step. Kept, and in
# large pages, the encoder's gradient takes 19 ms a clip instead of 22, and 18 instead of 26 beside other work.
set -eu
cores=$1
shift
export XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 --xla_cpu_prefer_vector_width=512"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
big=34359738368
tunables=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.top_pad=268435456
export GLIBC_TUNABLES=$tunables:glibc.malloc.mmap_threshold=$big:glibc.malloc.trim_threshold=$big
here=$(dirname "$0")
worker=1
while [ "$worker" -lt "$cores" ]; do
    taskset --cpu-list "$worker" python "$here/train.py" "$@" --worker "$worker" --workers "$cores" &
    worker=$((worker + 1))
done
taskset --cpu-list 0 python "$here/train.py" "$@" --worker 0 --workers "$cores"
wait
