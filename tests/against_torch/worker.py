"""`vpt_gen.benchmark.worker` for programs in PyTorch and NumPy."""

from vpt_gen.benchmark.worker import serve


def build(request):
    from tests.against_torch.running import Running
    from vpt_gen.benchmark.sizes import SIZES

    return Running(request, SIZES[request.size])


if __name__ == "__main__":
    serve(build)
