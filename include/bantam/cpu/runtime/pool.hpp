// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace bantam::cpu {

/// Objects that concurrent calls borrow. There are as many as were borrowed at the same time.
template <class T>
class Pool {
    struct Node {
        T value{};
        std::unique_ptr<Node> next{};
    };
    struct State {
        std::mutex mutex;
        std::unique_ptr<Node> idle;
    };

public:
    /// Returns its object to the pool when it is destroyed; the pool must outlive it.
    class Borrowed {
    public:
        explicit Borrowed(State& state) : state_{state} {
            {
                const std::lock_guard lock{state_.mutex};
                node_ = std::move(state_.idle);
                if (node_) state_.idle = std::move(node_->next);
            }
            if (!node_) node_ = std::make_unique<Node>();
        }
        ~Borrowed() {
            const std::lock_guard lock{state_.mutex};
            node_->next = std::move(state_.idle);
            state_.idle = std::move(node_);
        }
        Borrowed(const Borrowed&) = delete;
        Borrowed& operator=(const Borrowed&) = delete;

        T& operator*() const { return node_->value; }
        T* operator->() const { return &node_->value; }

    private:
        State& state_;
        std::unique_ptr<Node> node_;
    };

    Borrowed borrow() const { return Borrowed{*state_}; }

private:
    std::unique_ptr<State> state_ = std::make_unique<State>();
};

}  // namespace bantam::cpu
