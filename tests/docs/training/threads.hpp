// SPDX-License-Identifier: MIT
// One model serves all threads: infer and predict only read it.
std::vector<std::vector<int>> predict_all(const bantam::cpu::Model<Student>& model,
                                          const std::vector<std::vector<float>>& requests) {
    std::vector<std::vector<int>> answers(requests.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < requests.size(); ++i)
        threads.emplace_back([&, i] { answers[i] = bantam::predict(model, requests[i]); });
    for (std::thread& thread : threads) thread.join();
    return answers;
}
