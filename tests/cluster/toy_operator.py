"""The operator as it is, but with the toy decision: what the tests of the shell start."""

from toy_brain import TOY

from gptfl_operator.cli import main

if __name__ == "__main__":
    main(lambda api, settings: TOY)
