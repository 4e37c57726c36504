// hnswlib behind the interface of driver.h; its filter is a functor of its own kind.

#include <memory>

#include "driver.h"
#include "hnswlib/hnswlib.h"

namespace {

struct Allowed : hnswlib::BaseFilterFunctor {
    Bitmap bits{nullptr};
    bool operator()(hnswlib::labeltype id) override { return bits(id); }
};

struct Engine {
    std::unique_ptr<hnswlib::SpaceInterface<float>> space;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph;
    size_t m, ef_construction;

    Engine(size_t dim, bool l2, size_t m, size_t ef_construction, const char*)
        : m(m), ef_construction(ef_construction) {
        if (l2)
            space = std::make_unique<hnswlib::L2Space>(dim);
        else
            space = std::make_unique<hnswlib::InnerProductSpace>(dim);
    }
    void reserve(size_t n, size_t) {
        graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(space.get(), n, m, ef_construction);
    }
    void add(size_t id, const float* row) { graph->addPoint(row, id); }
    void save(const char* path) { graph->saveIndex(path); }
    void load(const char* path, size_t n) {
        graph = std::make_unique<hnswlib::HierarchicalNSW<float>>(space.get(), path, false, n);
    }
    void set_ef(size_t ef) { graph->setEf(ef); }
    size_t search(const float* query, size_t k, const Bitmap& bits, int64_t* ids) {
        Allowed allowed;
        allowed.bits = bits;
        auto heap = graph->searchKnn(query, k, &allowed);
        size_t found = heap.size();
        for (size_t at = found; at-- > 0; heap.pop()) ids[at] = static_cast<int64_t>(heap.top().second);
        return found;
    }
};

}  // namespace

PEER_INTERFACE(Engine)
