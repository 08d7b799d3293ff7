// SPDX-License-Identifier: MIT
// What the exchanges of a training step of mobile-98k cost on a network, without the step: under mpirun, measures
// latency and bandwidth between two ranks, predicts the exchanges' time from them and the network's type (StepTraffic),
// and measures it. Prints one JSON line.

#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/overlapped_sums.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/train/layer_tensors.hpp>
#include <bantam/train/step_traffic.hpp>

#include "../tools/shared/command_line.hpp"
#include "../tools/shared/ranks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <ranges>
#include <span>
#include <vector>

namespace {

using namespace bantam;
using Net = Mobile98k<11>;

/// The smallest time of several calls, which other programs on the machine disturb least, in seconds.
double best_time(Communicator& communicator, Index repeats, const std::function<void()>& call) {
    using Clock = std::chrono::steady_clock;
    double best = 0;
    for (Index repeat = 0; repeat < repeats; ++repeat) {
        largest(communicator, 0);  // all ranks begin at the same time
        const auto start = Clock::now();
        call();
        const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
        best = repeat == 0 ? seconds : std::min(best, seconds);
    }
    return best;
}

/// The time that a short message takes between two ranks: half of a round trip.
double message_time(Communicator& communicator, Index repeats) {
    std::byte data{};
    const int rank = communicator.rank().index;
    return best_time(communicator, repeats,
                     [&] {
                         if (rank == 1) communicator.receive({&data, 1}, 0);
                         if (rank < 2) communicator.send({&data, 1}, 1 - rank);
                         if (rank == 0) communicator.receive({&data, 1}, 1);
                     }) /
           2;
}

/// The time in which two ranks send each other `segments` segments of gradients at the same time, as during a step. Of
/// several times in turn, because a rank may begin by a message's time before the other.
double segments_time(Communicator& communicator, Index repeats, Index segments) {
    constexpr Index turns = 10;
    const std::vector<std::byte> sent(overlapped_segment);
    std::vector<std::byte> received(static_cast<std::size_t>(segments) * overlapped_segment);
    const int rank = communicator.rank().index;
    const auto exchange = [&] {
        std::vector<Transfer> transfers;
        for (Index segment = 0; segment < segments; ++segment) {
            const std::size_t offset = static_cast<std::size_t>(segment) * overlapped_segment;
            transfers.push_back(
                communicator.start_receive(std::span{received}.subspan(offset, overlapped_segment), 1 - rank));
            transfers.push_back(communicator.start_send(sent, 1 - rank));
        }
        while (!transfers.empty()) std::erase_if(transfers, [](const Transfer& transfer) { return transfer(); });
    };
    return best_time(communicator, repeats,
                     [&] {
                         for (Index turn = 0; rank < 2 && turn < turns; ++turn) exchange();
                     }) /
           turns;
}

/// The exchanges of one step, as the trainer makes them: moments of the norms, then the sums of the backward pass.
class Exchanges {
public:
    Exchanges(Communicator& communicator, Index batch)
        : communicator_{communicator},
          batch_{batch},
          logits_(static_cast<std::size_t>(batch * class_count<Net>)),
          gradients_(static_cast<std::size_t>(chunk_count(batch) * trainable_parameters<Net>)),
          moments_(static_cast<std::size_t>(chunk_count(batch) * non_trainable_parameters<Net>)),
          gradient_sums_{communicator} {
        gradient_sums_.reserve(trainable_parameters<Net>);
    }

    void operator()() {
        const std::vector<LayerTensors> layers = layer_tensors(tensor_table<Net>);
        for (const LayerTensors& layer : layers) add_norm(layer);
        all_gather(communicator_, std::span{logits_}, class_count<Net>,
                   [&](Rank of) { return samples_of_rank(batch_, of); });
        for (const LayerTensors& layer : layers | std::views::reverse) {
            add_norm(layer);
            if (layer.statistics == 0) add_gradient(layer.trained);
        }
        gradient_sums_.complete();
    }

private:
    void add_norm(const LayerTensors& layer) {
        if (layer.statistics == 0) return;
        sum_in_order(communicator_, chunk_count(batch_), moments_.data(), layer.statistics, layer.statistics,
                     moments_.data());
    }
    void add_gradient(Index size) {
        gradient_sums_.add(chunk_count(batch_), gradients_.data(), size, nullptr, gradients_.data());
    }

    Communicator& communicator_;
    Index batch_;
    std::vector<float> logits_, gradients_;
    std::vector<double> moments_;
    OverlappedSums<float> gradient_sums_;
};

void measure(Index batch, Index repeats) {
    const auto communicator = join_ranks();
    const Rank rank = communicator->rank();
    if (rank.count == 1) throw Error{"there are no exchanges among one rank; start it with mpirun -n 2 or more"};
    const double latency = message_time(*communicator, 10 * repeats);
    constexpr Index segments = 16;
    const double transfer = segments_time(*communicator, repeats, segments);
    const double bandwidth =
        static_cast<double>(segments * Index{overlapped_segment}) / std::max(transfer - latency, 1e-9);
    Exchanges exchanges{*communicator, batch};
    const double measured = best_time(*communicator, repeats, exchanges);
    const StepTraffic traffic = step_traffic_of<Net>(batch, rank);
    if (rank.index > 0) return;
    fmt::print(
        "{{\"ranks\": {}, \"batch\": {}, \"exchanges\": {}, \"received_bytes\": {}, \"latency_us\": {:.1f}, "
        "\"megabytes_per_second\": {:.1f}, \"predicted_ms\": {:.2f}, \"measured_ms\": {:.2f}}}\n",
        rank.count, batch, traffic.exchanges, traffic.bytes, 1e6 * latency, bandwidth / 1e6,
        1000 * traffic.seconds(latency, bandwidth), 1000 * measured);
}

}  // namespace

int main(int argc, char** argv) {
    Index batch = 64, repeats = 20;
    CommandLine line{"Measures the exchanges of a training step among the ranks of mpirun"};
    line.option("--batch", batch, "Pictures in a step").between(1, 65536);
    line.option("--repeats", repeats, "Measurements, of which the smallest counts").between(1, 1'000'000);
    return line.run(argc, argv, [&] { measure(batch, repeats); });
}
