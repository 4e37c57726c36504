// usearch behind the interface of driver.h; its filter is any callable on keys.

#include <cstring>
#include <stdexcept>

#include "driver.h"
#include "usearch/index_dense.hpp"

namespace {

using namespace unum::usearch;

struct Engine {
    index_dense_t index;
    std::vector<index_dense_t::vector_key_t> keys;

    static scalar_kind_t kind(const char* element) {
        if (!std::strcmp(element, "f32")) return scalar_kind_t::f32_k;
        if (!std::strcmp(element, "bf16")) return scalar_kind_t::bf16_k;
        throw std::runtime_error("elements are f32 or bf16");
    }
    Engine(size_t dim, bool l2, size_t m, size_t ef_construction, const char* element) {
        metric_punned_t metric(dim, l2 ? metric_kind_t::l2sq_k : metric_kind_t::ip_k, kind(element));
        index_dense_config_t config(m, ef_construction);
        config.enable_key_lookups = false;
        auto made = index_dense_t::make(metric, config);
        if (!made) throw std::runtime_error(made.error.release());
        index = std::move(made.index);
    }
    void reserve(size_t n, size_t threads) {
        if (!index.try_reserve(index_limits_t(n, threads))) throw std::runtime_error("no memory");
    }
    void add(size_t id, const float* row) {
        auto added = index.add(id, row);
        if (!added) throw std::runtime_error(added.error.release());
    }
    void save(const char* path) {
        auto saved = index.save(path);
        if (!saved) throw std::runtime_error(saved.error.release());
    }
    void load(const char* path, size_t n) {
        auto loaded = index.load(path);
        if (!loaded) throw std::runtime_error(loaded.error.release());
        reserve(n, 1);
    }
    void set_ef(size_t ef) { index.change_expansion_search(ef); }
    size_t search(const float* query, size_t k, const Bitmap& allowed, int64_t* ids) {
        auto found = index.filtered_search(query, k, [&](index_dense_t::vector_key_t key) noexcept { return allowed(key); });
        if (!found) throw std::runtime_error(found.error.release());
        if (keys.size() < k) keys.resize(k);
        size_t count = found.dump_to(keys.data());
        for (size_t at = 0; at < count; at++) ids[at] = static_cast<int64_t>(keys[at]);
        return count;
    }
};

}  // namespace

PEER_INTERFACE(Engine)
