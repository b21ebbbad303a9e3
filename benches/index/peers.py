"""hnswlib on the rows, queries and true answers in a folder: peers.py FOLDER DIMENSIONS THREADS.

Prints the CPU seconds of the build, then of each ef: ef, recall, CPU microseconds of a query, p50 and p99.
"""

import sys
import time

import hnswlib
import numpy

K = 10
folder, dimensions, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows = numpy.fromfile(f"{folder}/rows.f32", dtype="<f4").reshape(-1, dimensions)
queries = numpy.fromfile(f"{folder}/queries.f32", dtype="<f4").reshape(-1, dimensions)
truth = numpy.fromfile(f"{folder}/truth.u32", dtype="<u4").reshape(len(queries), K)

index = hnswlib.Index(space="ip", dim=dimensions)
index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=1)
begun = time.process_time()
index.add_items(rows, num_threads=threads)
print(time.process_time() - begun)
for ef in [16, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 768]:
    index.set_ef(ef)
    least = float("inf")
    for _ in range(5):
        begun = time.process_time()
        labels, _ = index.knn_query(queries, k=K, num_threads=1)
        least = min(least, time.process_time() - begun)
    took = []
    for query in queries:
        begun = time.perf_counter()
        index.knn_query(query, k=K, num_threads=1)
        took.append((time.perf_counter() - begun) * 1e6)
    recall = numpy.mean([len(set(found) & set(true)) / K for found, true in zip(labels, truth)])
    # The least time of a batch has no Python in it; the times of single queries have some.
    print(ef, recall, least / len(queries) * 1e6, *numpy.percentile(took, [50, 99]))
    if recall >= 0.995:
        break
