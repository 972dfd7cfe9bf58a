"""``python -m searchd`` is the ``searchd`` command."""

from searchd.cli.main import main

if __name__ == "__main__":
    main()
