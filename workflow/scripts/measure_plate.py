from _job import job

with job(snakemake):
    from disentangledssl.sources.download import fetch_all
    from disentangledssl.sources.plates import measure_plate

    downloads = snakemake.config["downloads"]
    measure_plate(
        snakemake.input[0],
        snakemake.output[0],
        experiment=snakemake.wildcards.experiment,
        plate=snakemake.wildcards.plate,
        settings=snakemake.params.segmentation,
        keep_images=snakemake.config["data"][snakemake.wildcards.dataset]["make"]["keep_images"],
        code=snakemake.params.code,
        folder=f"{downloads['folder']}/rxrx19a/images",
        fetch=lambda images: fetch_all(images, downloads),
    )
