// boost's message_queue for the benchmark, as functions that C could call: no exception leaves them.

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstddef>

namespace {

using Queue = boost::interprocess::message_queue;

constexpr std::ptrdiff_t FAILED = -1;
constexpr std::ptrdiff_t NOTHING_THERE = -2;

}  // namespace

extern "C" {

// Makes a queue; returns whether it did.
bool ipcq_boost_create(const char *name, std::size_t capacity, std::size_t size) {
    try {
        Queue made(boost::interprocess::create_only, name, capacity, size);
        return true;
    } catch (...) {
        return false;
    }
}

void *ipcq_boost_open(const char *name) {
    try {
        return new Queue(boost::interprocess::open_only, name);
    } catch (...) {
        return nullptr;
    }
}

void ipcq_boost_close(void *queue) { delete static_cast<Queue *>(queue); }

void ipcq_boost_remove(const char *name) { Queue::remove(name); }

bool ipcq_boost_put(void *queue, const void *message, std::size_t length) {
    try {
        static_cast<Queue *>(queue)->send(message, length, 0);
        return true;
    } catch (...) {
        return false;
    }
}

// Returns the length of what came.
std::ptrdiff_t ipcq_boost_get(void *queue, void *into, std::size_t room, bool waits) {
    try {
        Queue::size_type length = 0;
        unsigned priority = 0;
        Queue &own = *static_cast<Queue *>(queue);
        if (waits) {
            own.receive(into, room, length, priority);
        } else if (!own.try_receive(into, room, length, priority)) {
            return NOTHING_THERE;
        }
        return static_cast<std::ptrdiff_t>(length);
    } catch (...) {
        return FAILED;
    }
}

}  // extern "C"
