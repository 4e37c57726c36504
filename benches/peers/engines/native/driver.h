// What hnswlib.cpp and usearch.cpp have in common: a graph behind a C interface, searched query by
// query under bitmaps, without anything of Python in the loop. An engine is a struct with
//   Engine(size_t dim, bool l2, size_t m, size_t ef_construction, const char* element);
//   void reserve(size_t n, size_t threads);
//   void add(size_t id, const float* row);
//   void save(const char* path);  void load(const char* path, size_t n);
//   void set_ef(size_t ef);
//   size_t search(const float* query, size_t k, const Bitmap& allowed, int64_t* ids);

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>
#include <vector>

struct Bitmap {
    const uint8_t* bits;
    bool operator()(size_t id) const { return bits[id >> 3] >> (id & 7) & 1; }
};

static thread_local std::string last_error;

template <typename Result, typename Work> static Result guarded(Result failed, Work work) {
    try {
        return work();
    } catch (const std::exception& error) {
        last_error = error.what();
        return failed;
    }
}

// Adds all rows: the first alone, the others from all threads.
template <typename Engine> static void add_all(Engine& engine, const float* rows, size_t n, size_t dim, size_t threads) {
    engine.reserve(n, threads);
    if (n == 0) return;
    engine.add(0, rows);
    std::atomic<size_t> next{1};
    std::exception_ptr failure;
    std::atomic<bool> failed{false};
    std::vector<std::thread> workers;
    for (size_t t = 0; t < threads; t++) {
        workers.emplace_back([&] {
            try {
                for (size_t id; !failed && (id = next++) < n;) engine.add(id, rows + id * dim);
            } catch (...) {
                if (!failed.exchange(true)) failure = std::current_exception();
            }
        });
    }
    for (auto& worker : workers) worker.join();
    if (failure) std::rethrow_exception(failure);
}

#define PEER_INTERFACE(Engine)                                                                     \
    extern "C" {                                                                                   \
    const char* peer_error() { return last_error.c_str(); }                                        \
    void* peer_build(const float* rows, size_t n, size_t dim, int l2, size_t m, size_t ef,         \
                     const char* element, size_t threads) {                                        \
        return guarded<void*>(nullptr, [&]() -> void* {                                            \
            auto engine = new Engine(dim, l2 != 0, m, ef, element);                                \
            add_all(*engine, rows, n, dim, threads);                                               \
            return engine;                                                                         \
        });                                                                                        \
    }                                                                                              \
    void* peer_load(const char* path, size_t n, size_t dim, int l2, size_t m, size_t ef,           \
                    const char* element) {                                                         \
        return guarded<void*>(nullptr, [&]() -> void* {                                            \
            auto engine = new Engine(dim, l2 != 0, m, ef, element);                                \
            engine->load(path, n);                                                                 \
            return engine;                                                                         \
        });                                                                                        \
    }                                                                                              \
    int peer_save(void* engine, const char* path) {                                                \
        return guarded(1, [&] { return static_cast<Engine*>(engine)->save(path), 0; });            \
    }                                                                                              \
    /* Answers `count` queries, each under the bitmap that `which` names; ids are -1 behind the    \
       last found. A query's time ends where the next one's begins. */                             \
    int peer_search(void* handle, const float* queries, size_t count, size_t dim, size_t k,        \
                    size_t ef, const uint8_t* bitmaps, size_t stride, const int64_t* which,        \
                    int64_t* ids, int64_t* nanos) {                                                \
        return guarded(1, [&] {                                                                    \
            using Clock = std::chrono::steady_clock;                                               \
            auto& engine = *static_cast<Engine*>(handle);                                          \
            engine.set_ef(ef);                                                                     \
            auto last = Clock::now();                                                              \
            for (size_t at = 0; at < count; at++) {                                                \
                Bitmap allowed{bitmaps + static_cast<size_t>(which[at]) * stride};                 \
                size_t found = engine.search(queries + at * dim, k, allowed, ids + at * k);        \
                for (; found < k; found++) ids[at * k + found] = -1;                               \
                auto now = Clock::now();                                                           \
                nanos[at] =                                                                        \
                    std::chrono::duration_cast<std::chrono::nanoseconds>(now - last).count();      \
                last = now;                                                                        \
            }                                                                                      \
            return 0;                                                                              \
        });                                                                                        \
    }                                                                                              \
    }
